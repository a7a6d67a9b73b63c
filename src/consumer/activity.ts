import type { ChunkId } from '../model/ids.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock, Timer } from '../system/time/clock.ts';
import type { Announcer } from './events.ts';
import { FailureLog } from './failure-log.ts';

/** The client counts as idle after it has had nothing to do for this long, in milliseconds. */
const IDLE_MS = 1_000;

/** Something that is idle or not: a run. */
export type Idler = object;

/** What the runs of a client do: counted, and announced to its listeners. */
export class Activity {
  chunksCompleted = 0;
  chunksFailed = 0;
  readonly failures: FailureLog;
  readonly #announcer: Announcer;
  readonly #clock: Clock;
  readonly #busy = new Set<Idler>();
  readonly #idle = new Set<Idler>();
  #timer: Timer | null = null;

  constructor(announcer: Announcer, clock: Clock, logger: Logger) {
    this.#announcer = announcer;
    this.#clock = clock;
    this.failures = new FailureLog(clock, logger, () => this.chunksCompleted);
  }

  /** `hadResult`: it counted as completed before its result could not be uploaded. */
  failed({ submissionId, chunkIndex }: ChunkId, failure: string, hadResult: boolean): void {
    this.chunksFailed++;
    if (hadResult) this.chunksCompleted--;
    const place = { submissionId: String(submissionId), chunkIndex };
    this.failures.chunkFailed(place, failure);
    this.#announcer.announce('chunkFailed', { ...place, failure });
  }

  /** A run has work, or may have, for all that is known. */
  busy(idler: Idler): void {
    this.#idle.delete(idler);
    this.#busy.add(idler);
    this.#look();
  }

  idle(idler: Idler): void {
    this.#busy.delete(idler);
    this.#idle.add(idler);
    this.#look();
  }

  /** The run is over. */
  gone(idler: Idler): void {
    this.#busy.delete(idler);
    this.#idle.delete(idler);
    if (this.#busy.size + this.#idle.size === 0) this.failures.flush();
    this.#look();
  }

  /** Idle are only clients with runs, and all of them. */
  #look(): void {
    const isIdle = this.#busy.size === 0 && this.#idle.size > 0;
    if (!isIdle) {
      this.#timer?.cancel();
      this.#timer = null;
      return;
    }
    this.#timer ??= this.#clock.after(IDLE_MS, () => this.#announcer.announce('idle'), { unref: true });
  }
}
