import type { HistorySeries } from '../protocol/api/overview.ts';
import type { Queue, QueueSight } from '../queue/queue.ts';
import type { SchedulerCounts } from '../scheduler/types.ts';
import type { Clock, Timer } from '../system/time/clock.ts';
import { HistoryRings, type Sample } from './tallies/history.ts';
import { type Counts, Pace } from './tallies/pace.ts';
import { Stops } from './tallies/stops.ts';
import type { Watcher } from './tallies/watcher.ts';

export interface SamplerOptions {
  readonly queue: Queue;
  readonly clock: Clock;
  readonly watcher: Watcher;
  /** How long commits took of late, and how late timers come; null where nothing is known. */
  readonly latencies: () => Pick<Sample, 'commit_p50_ms' | 'commit_p99_ms' | 'event_loop_delay_ms'>;
}

/** Queues with a history of their own, the unnamed one included; beyond, there is that of all together. */
const HISTORIES_MAX = 20;
const SECOND_MS = 1_000;
/** By so much the time of day goes ahead of the monotonic clock, or falls behind, within a second or so: it was set. */
const STEP_MS_MIN = 500;

/** The clock of the machine was set. */
export interface ClockStep {
  /** Forward; below 0: back. */
  readonly byMs: number;
  /** On the monotonic clock. */
  readonly atMs: number;
}

/** Once a second, writes down what is counted and what is going on. */
export class Sampler {
  readonly #o: SamplerOptions;
  readonly #startedMs: number;
  readonly #totalRings = new HistoryRings();
  readonly #totalPace = new Pace(0);
  readonly #rings = new Map<string, HistoryRings>();
  readonly #paces = new Map<string, Pace>();
  /** Of the queues that stood still. */
  readonly #stops = new Map<string, Stops>();
  #second = 0;
  #sampledMs: number;
  #sampledUnixMs: number;
  #lastStep: ClockStep | null = null;
  #steppedMs = 0;
  #timer: Timer | null = null;

  constructor(options: SamplerOptions) {
    this.#o = options;
    this.#startedMs = options.clock.monotonicMs();
    this.#sampledMs = this.#startedMs;
    this.#sampledUnixMs = options.clock.nowMs();
  }

  /** When the clock was last set, since the start; null: it was not. */
  get lastStep(): ClockStep | null {
    return this.#lastStep;
  }

  /** By how much it was set in all. */
  get steppedMs(): number {
    return this.#steppedMs;
  }

  start(): void {
    const sinceMs = this.#o.clock.monotonicMs() - this.#startedMs;
    // A timer may come somewhat early: the second that it was for is not due again.
    const dueSecond = Math.max(this.#second, Math.floor(sinceMs / SECOND_MS)) + 1;
    this.#timer = this.#o.clock.after(dueSecond * SECOND_MS - sinceMs, () => this.#tick(), { unref: true });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** null: of all together. undefined: that queue has none. */
  history(queue: string | null): HistoryRings | undefined {
    return queue === null ? this.#totalRings : this.#rings.get(queue);
  }

  /** null: of all together. undefined: that queue is not in use, or was not a second ago. */
  pace(queue: string | null): Pace | undefined {
    return queue === null ? this.#totalPace : this.#paces.get(queue);
  }

  /** When nothing could be handed out of that queue, to the second; null: it always could. */
  stops(queue: string): Stops | null {
    return this.#stops.get(queue) ?? null;
  }

  #tick(): void {
    this.sample();
    this.start();
  }

  /** Once a second, for all the time since the last sample: one that is late stands for the seconds before it as well. */
  sample(): void {
    const { queue, clock, watcher, latencies } = this.#o;
    const nowMs = clock.monotonicMs();
    const second = Math.round((nowMs - this.#startedMs) / SECOND_MS);
    if (second <= this.#second) return;
    const elapsedSeconds = (nowMs - this.#sampledMs) / SECOND_MS;
    this.#lookAtClock(nowMs);
    this.#sampledMs = nowMs;
    const own = latencies();
    const names = new Set<string>();
    const isHeld = queue.isHandOutHeld;
    let consumersWaiting = 0;
    let chunksWaitingTotal = 0;
    for (const each of queue.schedules()) {
      const { name, counts } = each;
      const isPaused = queue.isPaused(name);
      names.add(name);
      const waiting = consumersWaitingOf(each);
      const chunksWaiting = isPaused ? 0 : counts.chunksAvailable;
      chunksWaitingTotal += chunksWaiting;
      consumersWaiting += waiting;
      const more = this.#paceOf(name).count(watcher.tallyOf(name), second, counts.chunksReserved);
      const isStopped = isHeld || counts.consumers === 0 || isPaused;
      this.#lookAtStop(name, isStopped, more.done > 0, nowMs);
      const rings = this.#ringsOf(name);
      rings?.push(second, {
        ...gauges(counts, chunksWaiting, waiting),
        ...ratesOf(more, elapsedSeconds),
        ...NOT_OF_A_QUEUE,
      });
    }
    this.#forgetOthers(names);
    const more = this.#totalPace.count(watcher.total, second, queue.counts.chunksReserved);
    this.#totalRings.push(second, {
      ...gauges(queue.counts, chunksWaitingTotal, consumersWaiting),
      ...ratesOf(more, elapsedSeconds),
      ...own,
    });
    this.#second = second;
  }

  #lookAtClock(nowMs: number): void {
    const unixMs = this.#o.clock.nowMs();
    const byMs = unixMs - this.#sampledUnixMs - (nowMs - this.#sampledMs);
    this.#sampledUnixMs = unixMs;
    if (Math.abs(byMs) < STEP_MS_MIN) return;
    this.#lastStep = { byMs, atMs: nowMs };
    this.#steppedMs += byMs;
  }

  #lookAtStop(name: string, isStopped: boolean, hasWorked: boolean, nowMs: number): void {
    let stops = this.#stops.get(name);
    if (stops === undefined) {
      if (!isStopped) return;
      stops = new Stops();
      this.#stops.set(name, stops);
    }
    stops.look(isStopped, nowMs);
    if (hasWorked) stops.worked(nowMs);
  }

  #paceOf(name: string): Pace {
    let pace = this.#paces.get(name);
    if (pace === undefined) {
      pace = new Pace(this.#second);
      this.#paces.set(name, pace);
    }
    return pace;
  }

  #ringsOf(name: string): HistoryRings | undefined {
    const known = this.#rings.get(name);
    if (known !== undefined || this.#rings.size >= HISTORIES_MAX) return known;
    const rings = new HistoryRings();
    this.#rings.set(name, rings);
    return rings;
  }

  /** A queue that is gone keeps its history until its place is wanted. */
  #forgetOthers(names: ReadonlySet<string>): void {
    this.#o.watcher.keep(names);
    if (this.#paces.size > names.size) {
      for (const name of this.#paces.keys()) if (!names.has(name)) this.#paces.delete(name);
    }
    for (const name of this.#stops.keys()) if (!names.has(name)) this.#stops.delete(name);
    if (this.#rings.size < HISTORIES_MAX) return;
    for (const name of this.#rings.keys()) if (!names.has(name)) this.#rings.delete(name);
  }
}

const NOT_OF_A_QUEUE = { commit_p50_ms: null, commit_p99_ms: null, event_loop_delay_ms: null } as const;

function gauges(
  counts: SchedulerCounts,
  chunksWaiting: number,
  consumersWaiting: number,
): Pick<
  Sample,
  Extract<HistorySeries, 'backlog' | 'waiting' | 'reserved' | 'delayed' | 'consumers' | 'consumers_waiting'>
> {
  return {
    backlog: counts.chunksInBacklog,
    waiting: chunksWaiting,
    reserved: counts.chunksReserved,
    delayed: counts.chunksDelayed,
    consumers: counts.consumers,
    consumers_waiting: consumersWaiting,
  };
}

function ratesOf(
  { inserted, done, setBack }: Counts,
  seconds: number,
): Pick<Sample, 'inserted' | 'done' | 'set_back'> {
  return { inserted: inserted / seconds, done: done / seconds, set_back: setBack / seconds };
}

function consumersWaitingOf({ schedule }: QueueSight): number {
  let waiting = 0;
  for (const { chunksReserved, requests } of schedule.consumers) {
    if (chunksReserved === 0 && requests.size > 0) waiting++;
  }
  return waiting;
}
