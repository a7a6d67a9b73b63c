import { statfs } from 'node:fs/promises';
import type { Clock } from '../system/time/clock.ts';

export interface DiskOptions {
  readonly clock: Clock;
  /** Where the database file is; null: there is none. */
  readonly folder: string | null;
  sizeBytes(): Promise<number>;
}

/** It is looked at this often, while somebody asks. */
const EVERY_MS = 10_000;

/** How full the disk is, and how large the store: as of the last look. */
export class Disk {
  freeBytes: number | null = null;
  totalBytes: number | null = null;
  sizeBytes: number | null = null;
  readonly #o: DiskOptions;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(options: DiskOptions) {
    this.#o = options;
  }

  /** Resolves when the look is over, if there was one; nothing need wait for it. */
  async look(): Promise<void> {
    const nowMs = this.#o.clock.monotonicMs();
    if (nowMs - this.#lookedMs < EVERY_MS) return;
    this.#lookedMs = nowMs;
    await Promise.all([this.#lookAtDisk(), this.#lookAtStore()]);
  }

  async #lookAtDisk(): Promise<void> {
    if (this.#o.folder === null) return;
    try {
      const { bavail, blocks, bsize } = await statfs(this.#o.folder);
      this.freeBytes = bavail * bsize;
      this.totalBytes = blocks * bsize;
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
