import { CHUNKS_PER_ANSWER_MAX } from '../model/limits.ts';
import type { Effects } from './effects.ts';
import type { Ledger } from './ledger.ts';
import { shareOf } from './share.ts';
import type { SickConsumers } from './sick-consumers.ts';
import type { Consumer } from './state.ts';
import type { HandedOutChunk, ReservationRequest } from './types.ts';

/**
 * Answers requests for chunks, or keeps them waiting in the order of their arrival. Between two calls of the scheduler
 * none of them waits for something that is available to it, unless handing out is held.
 */
export class HandOut<Peer> {
  readonly #ledger: Ledger<Peer>;
  readonly #sick: SickConsumers<Peer>;
  readonly #effects: Effects<Peer>;
  /** In order of arrival. */
  readonly #waiting = new Map<ReservationRequest, Consumer<Peer>>();
  #isHeld = false;

  constructor(ledger: Ledger<Peer>, sick: SickConsumers<Peer>, effects: Effects<Peer>) {
    this.#ledger = ledger;
    this.#sick = sick;
    this.#effects = effects;
  }

  has(request: ReservationRequest): boolean {
    return this.#waiting.has(request);
  }

  /** False if it waits. */
  ask(consumer: Consumer<Peer>, request: ReservationRequest, nowMs: number): boolean {
    if (this.#tryToServe(consumer, request, nowMs)) return true;
    this.#waiting.set(request, consumer);
    consumer.requests.add(request);
    this.#ledger.counts.requestsWaiting++;
    return false;
  }

  /** False if the request does not wait. */
  takeBack(consumer: Consumer<Peer>, request: ReservationRequest): boolean {
    if (!consumer.requests.delete(request)) return false;
    this.#waiting.delete(request);
    this.#ledger.counts.requestsWaiting--;
    return true;
  }

  /** While held, every request waits. */
  hold(held: boolean): void {
    this.#isHeld = held;
  }

  /** Serves those who wait, in order; one who cannot be served does not keep the next one waiting. */
  serve(nowMs: number): void {
    if (this.#waiting.size === 0) return;
    for (const [request, consumer] of this.#waiting) {
      if (this.#isHeld || this.#ledger.counts.chunksAvailable === 0) return;
      this.#tryToServe(consumer, request, nowMs);
    }
  }

  /** For checks: how many wait, and those who must not find anything. */
  get waiting(): {
    readonly total: number;
    readonly inVain: ReadonlyMap<ReservationRequest, Consumer<Peer>>;
  } {
    const able = [...this.#waiting].filter(([, consumer]) => this.#sick.chunksMax(consumer) > 0);
    const isPutOff = this.#isHeld || this.#ledger.plans.isBuilding;
    return { total: this.#waiting.size, inVain: new Map(isPutOff ? [] : able) };
  }

  #tryToServe(consumer: Consumer<Peer>, request: ReservationRequest, nowMs: number): boolean {
    if (this.#isHeld || this.#ledger.counts.chunksAvailable === 0) return false;
    const chunks = this.#take(consumer, request, nowMs);
    if (chunks.length === 0) return false;
    if (consumer.requests.size > 0) this.takeBack(consumer, request);
    this.#effects.push({ kind: 'reserved', consumer, request, chunks });
    return true;
  }

  #take(consumer: Consumer<Peer>, request: ReservationRequest, nowMs: number): readonly HandedOutChunk[] {
    const chunksMax = this.#sick.chunksMax(consumer);
    if (chunksMax === 0) return [];
    const ledger = this.#ledger;
    const plan = ledger.plans.planFor(request.strategy);
    if (plan === null) return [];
    const hidden = consumer.bars === null && consumer.shuns.size === 0 ? null : ledger.hideBarred(consumer);
    const { chunksAvailable, chunksReserved } = ledger.counts;
    const share = shareOf(
      { chunksAvailable, chunksReserved, askers: ledger.askers },
      consumer.chunksReserved,
    );
    const max = Math.min(request.max, CHUNKS_PER_ANSWER_MAX, share, chunksMax);
    const chunks: HandedOutChunk[] = [];
    while (chunks.length < max) {
      const submission = plan.first();
      if (submission === undefined) break;
      chunks.push(ledger.handOut(submission, consumer, nowMs));
    }
    if (hidden !== null) ledger.unhide(hidden);
    return chunks;
  }
}
