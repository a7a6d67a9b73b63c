import type { ShardId } from '../../model/ids.ts';
import type { StoreError } from '../../store/errors.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';

/** What fails within this time for the same reason is told together, by default. */
const GATHER_MS = 100;

/** A batch that is tried again. */
export interface BatchRetry {
  readonly shard: ShardId;
  /** Such as `refused`. */
  readonly what: string;
  readonly error: StoreError;
}

export interface RetryLogOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** 0: each is told at once, by itself. */
  readonly gatherMs?: number;
}

/** Logs batches that are tried again: a database that is gone refuses those of all shards, which is one line. */
export class RetryLog {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #gatherMs: number;
  /** Of each line that is due: its shards. */
  readonly #gathered = new Map<string, Set<ShardId>>();

  constructor({ clock, logger, gatherMs = GATHER_MS }: RetryLogOptions) {
    this.#clock = clock;
    this.#logger = logger;
    this.#gatherMs = gatherMs;
  }

  retries({ shard, what, error: { code, message } }: BatchRetry): void {
    const line = JSON.stringify([what, code, message]);
    const known = this.#gathered.get(line);
    if (known !== undefined) {
      known.add(shard);
      return;
    }
    const gathered = new Set([shard]);
    this.#gathered.set(line, gathered);
    const tell = () => {
      this.#gathered.delete(line);
      const shards = [...gathered].sort((a, b) => a - b);
      this.#logger.warn({ shards, code, error: message }, `a batch is ${what}; trying again`);
    };
    if (this.#gatherMs === 0) tell();
    else this.#clock.after(this.#gatherMs, tell, { unref: true });
  }
}
