import type { ShardId } from '../../model/ids.ts';
import { Scheduler } from '../../scheduler/scheduler.ts';
import type { SchedulerOptions } from '../../scheduler/types.ts';
import type { LoadedSubmission, Preparation } from '../../store/store.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { ConsumerPeer } from '../peer.ts';

export interface SchedulesOptions {
  readonly clock: Clock;
  readonly scheduler: SchedulerOptions;
}

/**
 * What is stored of a shard, put on the schedules of its queues before they are open: nobody reaches them, and what follows
 * from them is not carried out yet.
 */
export class Schedules implements Iterable<readonly [queue: string, Scheduler<ConsumerPeer>]> {
  readonly #o: SchedulesOptions;
  readonly #byQueue = new Map<string, Scheduler<ConsumerPeer>>();
  #submissions = 0;

  constructor(options: SchedulesOptions) {
    this.#o = options;
  }

  get submissions(): number {
    return this.#submissions;
  }

  /** Those that have a submission. */
  *[Symbol.iterator](): Generator<readonly [queue: string, Scheduler<ConsumerPeer>], void> {
    for (const entry of this.#byQueue) if (entry[1].hasSubmissions) yield entry;
  }

  insert(submissions: readonly LoadedSubmission[]): void {
    const { clock } = this.#o;
    const nowMs = clock.monotonicMs();
    const unixMs = clock.nowMs();
    for (const { record, control, ...progress } of submissions) {
      this.#of(record.queue).insert(record, nowMs, progress, { control, unixMs });
    }
    this.#submissions += submissions.length;
  }

  /** They were inserted. */
  withdraw(submissions: readonly LoadedSubmission[]): void {
    for (const { record } of submissions) this.#of(record.queue).withdraw(record.id);
    this.#submissions -= submissions.length;
  }

  /** Pieces may all be there already: leases are to be renewed meanwhile, and others answered. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.#o.clock.soon(resolve));
  }

  #of(queue: string): Scheduler<ConsumerPeer> {
    let scheduler = this.#byQueue.get(queue);
    if (scheduler === undefined) {
      scheduler = new Scheduler(this.#o.scheduler);
      this.#byQueue.set(queue, scheduler);
    }
    return scheduler;
  }
}

/**
 * Schedules of a shard that another node still acts for. When this one owns it, they are brought in line with what is stored
 * by then.
 *
 *     reading --all is read--> read --settle--> settled
 *           either --drop--> dropped
 *           either --own--> the same, and ends when the shard is not owned any more
 */
export class PreparedSchedules {
  readonly shard: ShardId;
  /** Resolves when all is read. */
  readonly read: Promise<void>;
  readonly #preparation: Preparation;
  readonly #schedules: Schedules;
  readonly #blocks = new Map<number, readonly LoadedSubmission[]>();
  #isDropped = false;
  #assertOwned: () => void = () => {};

  constructor(shard: ShardId, preparation: Preparation, options: SchedulesOptions) {
    this.shard = shard;
    this.#preparation = preparation;
    this.#schedules = new Schedules(options);
    this.read = this.#read();
    this.read.catch(() => {});
  }

  /** It is not needed any more: no more is read. */
  drop(): void {
    this.#isDropped = true;
  }

  /** This node owns the shard by now, as long as that does not throw: it is asked before each block. */
  own(assertOwned: () => void): void {
    this.#assertOwned = assertOwned;
  }

  /** For the owner of the shard. */
  async settle(): Promise<Schedules> {
    await this.read;
    const schedules = this.#schedules;
    for await (const { block, submissions } of this.#preparation.changed()) {
      this.#assertOwned();
      schedules.withdraw(this.#blocks.get(block) ?? []);
      schedules.insert(submissions);
      await schedules.turn();
    }
    return schedules;
  }

  async #read(): Promise<void> {
    for await (const { block, submissions } of this.#preparation.read()) {
      if (this.#isDropped) return;
      this.#assertOwned();
      this.#schedules.insert(submissions);
      this.#blocks.set(block, submissions);
      await this.#schedules.turn();
    }
  }
}
