import type { StoreMaintenance } from '../../store/store.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock, Timer } from '../../system/time/clock.ts';

const INTERVAL_MS = 500;
/** A log that is emptied as it should be stays below 20 MiB. */
const WAL_BYTES_WARNED = 64 * 1024 * 1024;

export interface StoreProbeOptions {
  readonly maintenance: StoreMaintenance;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the last look found: null if all is well. */
  onLook(error: unknown): void;
}

/** Looks at a store's file twice a second, so that trouble is noticed while nothing is committed. */
export class StoreProbe {
  readonly #o: StoreProbeOptions;
  #timer: Timer | null = null;
  #isStopped = false;
  #isWalLarge = false;

  constructor(options: StoreProbeOptions) {
    this.#o = options;
    this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#timer = this.#o.clock.after(INTERVAL_MS, () => void this.#look(), { unref: true });
  }

  async #look(): Promise<void> {
    let error: unknown = null;
    try {
      this.#judgeWal((await this.#o.maintenance.check()).walBytes);
    } catch (cause) {
      error = cause;
    }
    if (this.#isStopped) return;
    this.#o.onLook(error);
    this.#arm();
  }

  #judgeWal(walBytes: number): void {
    const fields = { walBytes, limitBytes: WAL_BYTES_WARNED };
    if (!this.#isWalLarge && walBytes > WAL_BYTES_WARNED) {
      this.#isWalLarge = true;
      this.#o.logger.warn(
        fields,
        'the write-ahead log of the database is large: most likely another program (sqlite3, a backup) keeps a read transaction open',
      );
    } else if (this.#isWalLarge && walBytes < WAL_BYTES_WARNED / 2) {
      this.#isWalLarge = false;
      this.#o.logger.info(fields, 'the write-ahead log of the database is small again');
    }
  }
}
