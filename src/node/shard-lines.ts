import type { ShardId } from '../model/ids.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock, Timer } from '../system/time/clock.ts';

/** After a line of a kind, what comes within this time makes one line more. */
const GATHER_MS = 2_000;
/** The same reason is a line again after so long. */
const REASON_MS = 60_000;

export interface ShardLinesOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether the node still has shards open. */
  isActive(): boolean;
}

/** What a node logs of its shards, of which there are 64: lines for many of them, since most things happen to many. */
export class ShardLines {
  readonly #o: ShardLinesOptions;
  readonly #taken: Gathered;
  readonly #lost: Gathered;
  readonly #unopened: Gathered;
  /** Those that could not be opened last. */
  readonly #failing = new Set<ShardId>();
  /** Whether the node still had shards open when one was lost last. */
  #wasActive = true;
  #untold: { readonly reason: string; readonly sinceMs: number } | null = null;

  constructor(options: ShardLinesOptions) {
    this.#o = options;
    const { clock, logger } = options;
    this.#taken = new Gathered(clock, (shards) => {
      logger.info({ shards }, 'this node takes shards that no other one has');
    });
    this.#lost = new Gathered(clock, (shards, error) => {
      const what = options.isActive() ? 'this node has lost shards' : 'this node is not active any more';
      logger.warn({ shards, error }, what);
    });
    this.#unopened = new Gathered(clock, (shards, error) => this.#tellUnopened(shards, error));
  }

  /** One that could not be opened is told of when it can be: until then it is taken again and again. */
  taken(shard: ShardId): void {
    if (!this.#failing.has(shard)) this.#taken.add(shard);
  }

  opened(shard: ShardId): void {
    if (this.#failing.delete(shard)) this.#taken.add(shard);
  }

  lost(shard: ShardId, error: string): void {
    this.#lost.add(shard, error);
    const isActive = this.#o.isActive();
    if (!isActive && this.#wasActive) this.#lost.soon();
    this.#wasActive = isActive;
  }

  couldNotOpen(shard: ShardId, error: string): void {
    this.#failing.add(shard);
    this.#unopened.add(shard, error);
  }

  /** What has not been told is told now; what comes later, as ever. */
  stop(): void {
    for (const each of [this.#taken, this.#lost, this.#unopened]) each.stop();
  }

  /** They are tried again every second or so, for as long as the reason lasts. */
  #tellUnopened(shards: readonly ShardId[], error: string): void {
    const { clock, logger } = this.#o;
    const nowMs = clock.monotonicMs();
    const isKnown = this.#untold?.reason === error && nowMs - this.#untold.sinceMs < REASON_MS;
    if (!isKnown) this.#untold = { reason: error, sinceMs: nowMs };
    const level = isKnown ? 'debug' : 'warn';
    logger[level]({ shards, error }, 'cannot open shards, trying again');
  }
}

/** Shards to which the same happens: the first of them are told at the end of the turn, those that follow together. */
class Gathered {
  readonly #clock: Clock;
  readonly #tell: (shards: ShardId[], error: string) => void;
  readonly #shards = new Set<ShardId>();
  #error = '';
  #timer: Timer | null = null;

  constructor(clock: Clock, tell: (shards: ShardId[], error: string) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  add(shard: ShardId, error = ''): void {
    this.#shards.add(shard);
    this.#error = error;
    if (this.#timer === null) this.#tellIn(0);
  }

  /** Does not wait for more. */
  soon(): void {
    this.#timer?.cancel();
    this.#tellIn(0);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#tellAll();
  }

  #tellIn(ms: number): void {
    const tell = () => {
      this.#timer = null;
      if (this.#tellAll()) this.#tellIn(GATHER_MS);
    };
    this.#timer = this.#clock.after(ms, tell, { unref: true });
  }

  /** false: there are none. */
  #tellAll(): boolean {
    if (this.#shards.size === 0) return false;
    const shards = [...this.#shards].sort((a, b) => a - b);
    this.#shards.clear();
    this.#tell(shards, this.#error);
    return true;
  }
}
