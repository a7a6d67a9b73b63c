import { statfs } from 'node:fs/promises';
import { type Clock, endsWithin } from '../system/time/clock.ts';

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface DiskOptions {
  readonly clock: Clock;
  /** Of the disk that the database file is on; null: there is none. */
  readonly space: (() => Promise<DiskSpace>) | null;
  sizeBytes(): Promise<number>;
}

/** Of the disk that a folder is on. */
export async function diskSpace(folder: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

/** It is looked at this often, while somebody asks. */
const EVERY_MS = 10_000;
/** A disk that does not answer is not waited for. */
const WAIT_MS = 100;

/** How full the disk is, and how large the store: as of the last look. */
export class Disk {
  freeBytes: number | null = null;
  totalBytes: number | null = null;
  sizeBytes: number | null = null;
  readonly #o: DiskOptions;
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** A look that hangs takes a thread of the process: one is enough. */
  #isLooking = false;

  constructor(options: DiskOptions) {
    this.#o = options;
  }

  /** What is computed from a look that is not old. Where there is one to be taken first, a promise. */
  whenLooked<T>(compute: () => T): T | Promise<T> {
    return this.look()?.then(compute) ?? compute();
  }

  /** Looks, if the last look was a while ago: null if not. Resolves when the look is over, or takes too long. */
  look(): Promise<unknown> | null {
    const { clock } = this.#o;
    const nowMs = clock.monotonicMs();
    if (this.#isLooking || nowMs - this.#lookedMs < EVERY_MS) return null;
    this.#lookedMs = nowMs;
    this.#isLooking = true;
    const looked = Promise.all([this.#lookAtDisk(), this.#lookAtStore()]).finally(() => {
      this.#isLooking = false;
    });
    return endsWithin(clock, WAIT_MS, looked);
  }

  async #lookAtDisk(): Promise<void> {
    try {
      Object.assign(this, await this.#o.space?.());
    } catch {
      // It is as it was, as far as is known.
    }
  }

  async #lookAtStore(): Promise<void> {
    try {
      this.sizeBytes = await this.#o.sizeBytes();
    } catch {
      // Likewise.
    }
  }
}
