import { type Random, randomInt } from '../../../src/system/random.ts';
import { type DiskOperation, KIND } from './disk-shim.ts';

const SECTOR_BYTES = 512;

/** What became of the writes after the last sync: none is there, all are, the first ones, or any sectors of any. */
export const SURVIVALS = ['none', 'all', 'first', 'any'] as const;
export type Survival = (typeof SURVIVALS)[number];

/** The files of a disk, as they are after a loss of power at any of its operations. */
export class PoweredDisk {
  /** What is safe, by file. */
  readonly #synced = [new Growing(), new Growing()] as const;
  readonly #pending: readonly [DiskOperation[], DiskOperation[]] = [[], []];

  apply(operation: DiskOperation): void {
    const pending = this.#pending[operation.file];
    if (operation.kind !== KIND.sync) {
      pending.push(operation);
      return;
    }
    for (const { kind, offset, data } of pending.splice(0)) {
      if (kind === KIND.truncate) this.#synced[operation.file].truncate(offset);
      else this.#synced[operation.file].write(offset, data);
    }
  }

  /** The database and its log. */
  afterCut(survival: Survival, random: Random): readonly [Buffer, Buffer] {
    return [this.#fileAfterCut(0, survival, random), this.#fileAfterCut(1, survival, random)];
  }

  #fileAfterCut(file: 0 | 1, survival: Survival, random: Random): Buffer {
    const content = this.#synced[file].copy();
    const pending = this.#pending[file];
    const until = survival === 'first' ? randomInt(random, pending.length + 1) : pending.length;
    for (const { kind, offset, data } of survival === 'none' ? [] : pending.slice(0, until)) {
      if (kind === KIND.truncate) {
        if (survival !== 'any' || random.next() < 0.5) content.truncate(offset);
        continue;
      }
      for (let from = 0; from < data.length; from += SECTOR_BYTES) {
        if (survival === 'any' && random.next() < 0.5) continue;
        content.write(offset + from, data.subarray(from, from + SECTOR_BYTES));
      }
    }
    return content.bytes;
  }
}

class Growing {
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  write(offset: number, data: Buffer): void {
    const end = offset + data.length;
    if (end > this.#buffer.length) {
      const grown = Buffer.alloc(end * 2);
      this.bytes.copy(grown);
      this.#buffer = grown;
    }
    data.copy(this.#buffer, offset);
    this.#length = Math.max(this.#length, end);
  }

  truncate(length: number): void {
    this.#buffer.fill(0, Math.min(length, this.#buffer.length));
    this.#length = Math.min(this.#length, length);
  }

  copy(): Growing {
    const copy = new Growing();
    copy.write(0, this.bytes);
    return copy;
  }
}
