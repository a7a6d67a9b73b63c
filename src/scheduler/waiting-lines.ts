import type { Strategy } from '../model/strategy.ts';
import { strategyText } from '../model/strategy-text.ts';
import type { Ledger } from './ledger.ts';
import { pairOf } from './metadata.ts';
import type { PlanWatcher } from './plan/cache.ts';
import type { Limit } from './plan/limit.ts';
import { type Placed, PlacedHeap } from './plan/placed-heap.ts';
import { type Alternative, isSelected } from './plan/spec.ts';
import { type Guest, type Place, Rooms } from './rooms.ts';
import { Selector } from './selector.ts';
import type { Consumer, ScheduledSubmission } from './state.ts';
import type { ReservationRequest } from './types.ts';

/** Strategies for which nobody waits are kept compiled while their weights are no more than this in sum. */
const IDLE_WEIGHT_MAX = 131_072;
/** Of a strategy, besides one for each value that it selects. */
const WEIGHT = 64;

/** A request that waits. */
export interface Waiting<Peer> {
  readonly request: ReservationRequest;
  readonly consumer: Consumer<Peer>;
  /** A number that rises with each arrival. */
  readonly arrival: number;
}

/** Some who wait have to look again, one after the other. */
export class Turn<Peer> implements Placed {
  readonly line: Line<Peer>;
  next: Waiting<Peer>;
  /** Those who come after `next`; null: nobody does. */
  readonly rest: Iterator<Waiting<Peer>> | null;
  place = -1;

  constructor(line: Line<Peer>, next: Waiting<Peer>, rest: Iterator<Waiting<Peer>> | null) {
    this.line = line;
    this.next = next;
    this.rest = rest;
  }
}

/** Those who wait with the same strategy, in the order of their arrival. */
export class Line<Peer> implements PlanWatcher, Guest {
  readonly text: string;
  readonly selector: Selector<ScheduledSubmission<Peer>>;
  /** What it takes to keep it: a selection may be of thousands of values. */
  readonly weight: number;
  readonly requests = new Map<ReservationRequest, Waiting<Peer>>();
  readonly places = new Map<Limit, Place>();
  /** null: nobody in it has to look. */
  turn: Turn<Peer> | null = null;
  readonly #lines: WaitingLines<Peer>;

  constructor(lines: WaitingLines<Peer>, text: string, selector: Selector<ScheduledSubmission<Peer>>) {
    this.#lines = lines;
    this.text = text;
    this.selector = selector;
    let weight = WEIGHT;
    for (const { only, except } of selector.alternatives) {
      for (const selection of [only, except]) for (const values of selection.values()) weight += values.size;
    }
    this.weight = weight;
  }

  /** Whether a submission qualifies, whatever is in flight. */
  admits({ values }: ScheduledSubmission<Peer>): boolean {
    const valueIn = (name: string) => pairOf(values, name)?.value;
    return this.selector.alternatives.some((alternative) => isSelected(alternative, valueIn));
  }

  /** Of the one who came first. */
  get arrival(): number {
    for (const { arrival } of this.requests.values()) return arrival;
    return Number.POSITIVE_INFINITY;
  }

  look(): void {
    this.#lines.touch(this);
  }

  lookBelow(limit: Limit): void {
    this.#lines.touchBelow(this, limit);
  }

  planDropped(): void {
    this.#lines.planDropped(this);
  }
}

/**
 * Who waits for chunks, by strategy, and which of them have to look again: an event that makes chunks available is shown
 * to the strategies that admit them, found by the values that they select, and never to each one who waits.
 */
export class WaitingLines<Peer> {
  /** Requests that wait. */
  size = 0;
  readonly #ledger: Ledger<Peer>;
  readonly #byStrategy = new WeakMap<Strategy, Line<Peer>>();
  readonly #byText = new Map<string, Line<Peer>>();
  /** In which somebody waits: by a value that they select, or the others. */
  readonly #byValue = new Map<string, Map<bigint, Set<Line<Peer>>>>();
  readonly #selectingNone = new Set<Line<Peer>>();
  readonly #occupied = new Set<Line<Peer>>();
  /** In which nobody waits; the one that was left, or came, longest ago first. */
  readonly #idle = new Set<Line<Peer>>();
  #idleWeight = 0;
  /** For whose plans there was no room. */
  readonly #wantRoom = new Set<Line<Peer>>();
  /** Whose plan has gone, so that nobody tells them when a limit is free again. */
  readonly #untold = new Set<Line<Peer>>();
  readonly #rooms = new Rooms<Line<Peer>>();
  readonly #turns = new PlacedHeap<Turn<Peer>>((a, b) => a.next.arrival < b.next.arrival);
  #arrivals = 0;

  constructor(ledger: Ledger<Peer>) {
    this.#ledger = ledger;
  }

  /** The line of a strategy; equal strategies share one. */
  lineFor(strategy: Strategy): Line<Peer> {
    let line = this.#byStrategy.get(strategy);
    if (line !== undefined) return line;
    const text = strategyText(strategy);
    line = this.#byText.get(text);
    if (line === undefined) {
      const { metadata, plans } = this.#ledger;
      line = new Line(this, text, new Selector(strategy, metadata, plans));
      this.#byText.set(text, line);
      this.#keepIdle(line);
    }
    this.#byStrategy.set(strategy, line);
    return line;
  }

  /** In the order of arrival within each line. */
  *[Symbol.iterator](): Generator<Waiting<Peer>> {
    for (const line of this.#occupied) yield* line.requests.values();
  }

  /** There was nothing for it. */
  join(line: Line<Peer>, request: ReservationRequest, consumer: Consumer<Peer>): void {
    if (line.requests.size === 0) this.#occupy(line);
    line.requests.set(request, { request, consumer, arrival: this.#arrivals++ });
    consumer.requests.add(request);
    this.size++;
    this.#ledger.counts.requestsWaiting++;
  }

  /** False if the request does not wait. */
  leave(consumer: Consumer<Peer>, request: ReservationRequest): boolean {
    if (!consumer.requests.delete(request)) return false;
    const line = this.lineFor(request.strategy);
    line.requests.delete(request);
    this.size--;
    this.#ledger.counts.requestsWaiting--;
    if (line.requests.size === 0) this.#vacate(line);
    return true;
  }

  /** A strategy's plans were asked in vain, and who asked waits; `isReady` is false if one of them was not ready. */
  foundNothing(line: Line<Peer>, isReady: boolean): void {
    if (line.selector.watch(line)) this.#untold.delete(line);
    else this.planDropped(line);
    if (!isReady) this.#wantRoom.add(line);
  }

  planDropped(line: Line<Peer>): void {
    if (line.selector.alternatives.some(({ limits }) => limits.size > 0)) this.#untold.add(line);
  }

  /** Whoever waits in it is to look again. */
  touch(line: Line<Peer>): void {
    this.#rooms.leave(line);
    if (line.turn !== null) return;
    const rest = line.requests.values();
    const first = rest.next();
    if (first.done === true) return;
    line.turn = new Turn(line, first.value, rest);
    this.#turns.add(line.turn);
  }

  /** Whoever waits in it is to look when its turn comes and the limit has room. */
  touchBelow(line: Line<Peer>, limit: Limit): void {
    if (line.turn === null) this.#rooms.enter(line, limit);
  }

  /** What was kept from this one alone may not be any more. */
  #touchOne(consumer: Consumer<Peer>): void {
    for (const request of consumer.requests) {
      const line = this.lineFor(request.strategy);
      const waiting = line.requests.get(request);
      if (waiting !== undefined) this.#turns.add(new Turn(line, waiting, null));
    }
  }

  touchAll(): void {
    for (const line of this.#occupied) this.touch(line);
  }

  /** Finds out who has to look again, from what has changed in the ledger. */
  touchByChanges(): void {
    const { changes, plans } = this.#ledger;
    for (const submission of changes.risen) this.#touchBy(submission, null);
    for (const { plan, watchers } of plans.takeFreed()) {
      const freed = plan.takeFreed();
      if (freed === null) for (const watcher of watchers) watcher.look();
      for (const [limit, { candidates, isForAll }] of freed ?? []) {
        for (const submission of candidates) this.#touchBy(submission, limit);
        if (isForAll) for (const watcher of watchers) watcher.lookBelow(limit);
        this.#rooms.open(limit);
      }
    }
    for (const consumer of changes.freed) this.#touchOne(consumer);
    if (changes.hasFallen) for (const line of this.#untold) this.touch(line);
    if (plans.takeRoom()) {
      for (const line of this.#wantRoom) this.touch(line);
      this.#wantRoom.clear();
    }
  }

  /** The next one who has to look: who came first of all. */
  nextTurn(): Turn<Peer> | undefined {
    const { first } = this.#turns;
    const line = this.#rooms.next;
    if (line === null || (first !== undefined && first.next.arrival < line.arrival)) return first;
    this.touch(line);
    return this.#turns.first;
  }

  /** The one whose turn it was has looked: it is the turn of the next one in the line. */
  pass(turn: Turn<Peer>): void {
    // It may be over, because nobody is left.
    if (turn.place < 0) return;
    const next = turn.rest?.next();
    if (next === undefined || next.done === true) {
      this.end(turn);
    } else {
      turn.next = next.value;
      this.#turns.update(turn);
    }
  }

  /** There is nothing for those who are left. */
  end(turn: Turn<Peer>): void {
    this.#turns.remove(turn);
    if (turn.line.turn === turn) turn.line.turn = null;
  }

  /** @param limit those whom it suits wait for room below that; null: they look at once */
  #touchBy(submission: ScheduledSubmission<Peer>, limit: Limit | null): void {
    if (submission.chunksAvailable === 0) return;
    for (const { key, value } of submission.values) {
      const lines = this.#byValue.get(key.name)?.get(value);
      if (lines !== undefined) this.#touchThose(lines, submission, limit);
    }
    this.#touchThose(this.#selectingNone, submission, limit);
  }

  #touchThose(
    lines: ReadonlySet<Line<Peer>>,
    submission: ScheduledSubmission<Peer>,
    limit: Limit | null,
  ): void {
    for (const line of lines) {
      if (line.turn !== null || !line.admits(submission)) continue;
      if (limit === null) this.touch(line);
      else this.#rooms.enter(line, limit);
    }
  }

  #occupy(line: Line<Peer>): void {
    this.#occupied.add(line);
    if (this.#idle.delete(line)) this.#idleWeight -= line.weight;
    for (const alternative of line.selector.alternatives) {
      const best = rarestSelection(alternative);
      if (best === null) {
        this.#selectingNone.add(line);
        continue;
      }
      const [key, values] = best;
      const byValue = getOrAdd(this.#byValue, key, () => new Map<bigint, Set<Line<Peer>>>());
      for (const value of values) getOrAdd(byValue, value, () => new Set<Line<Peer>>()).add(line);
    }
  }

  #vacate(line: Line<Peer>): void {
    this.#occupied.delete(line);
    this.#keepIdle(line);
    this.#selectingNone.delete(line);
    this.#wantRoom.delete(line);
    this.#untold.delete(line);
    if (line.turn !== null) this.end(line.turn);
    this.#rooms.leave(line);
    line.selector.unwatch(line);
    for (const alternative of line.selector.alternatives) {
      const best = rarestSelection(alternative);
      if (best === null) continue;
      const [key, values] = best;
      const byValue = this.#byValue.get(key);
      for (const value of values) {
        const lines = byValue?.get(value);
        lines?.delete(line);
        if (lines?.size === 0) byValue!.delete(value);
      }
      if (byValue?.size === 0) this.#byValue.delete(key);
    }
  }

  #keepIdle(line: Line<Peer>): void {
    this.#idle.add(line);
    this.#idleWeight += line.weight;
    for (const first of this.#idle) {
      if (this.#idleWeight <= IDLE_WEIGHT_MAX) return;
      this.#idle.delete(first);
      this.#idleWeight -= first.weight;
      // Another one may have its place, made while this one had been forgotten.
      if (this.#byText.get(first.text) === first) this.#byText.delete(first.text);
    }
  }
}

/** The key of which the fewest values are selected. */
function rarestSelection({ only }: Alternative): readonly [string, ReadonlySet<bigint>] | null {
  let best: readonly [string, ReadonlySet<bigint>] | null = null;
  for (const each of only) if (best === null || each[1].size < best[1].size) best = each;
  return best;
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
