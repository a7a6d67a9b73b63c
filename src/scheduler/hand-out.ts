import { CHUNKS_PER_ANSWER_MAX } from '../model/limits.ts';
import type { Effects } from './effects.ts';
import type { Ledger } from './ledger.ts';
import { shareOf } from './share.ts';
import type { SickConsumers } from './sick-consumers.ts';
import type { Consumer, ScheduledSubmission } from './state.ts';
import type { HandedOutChunk, ReservationRequest } from './types.ts';
import { type Line, type Turn, type Waiting, WaitingLines } from './waiting-lines.ts';

/**
 * `none`: there is nothing for this strategy; `not_for_this_consumer`: others who wait with the same strategy may
 * find something all the same.
 */
type Attempt = 'served' | 'none' | 'not_for_this_consumer';

/**
 * Answers requests for chunks, or keeps them waiting in the order of their arrival. Between two calls of the scheduler
 * none of them waits for something that is available to it, unless handing out is held.
 */
export class HandOut<Peer> {
  readonly #ledger: Ledger<Peer>;
  readonly #sick: SickConsumers<Peer>;
  readonly #effects: Effects<Peer>;
  readonly #lines: WaitingLines<Peer>;
  #isHeld = false;

  constructor(ledger: Ledger<Peer>, sick: SickConsumers<Peer>, effects: Effects<Peer>) {
    this.#ledger = ledger;
    this.#sick = sick;
    this.#effects = effects;
    this.#lines = new WaitingLines(ledger);
  }

  /** False if it waits. */
  ask(consumer: Consumer<Peer>, request: ReservationRequest, nowMs: number): boolean {
    const line = this.#lines.lineFor(request.strategy);
    const attempt = this.#try(line, consumer, request, nowMs);
    if (attempt === 'served') return true;
    this.#lines.join(line, request, consumer);
    return false;
  }

  /** False if the request does not wait. */
  takeBack(consumer: Consumer<Peer>, request: ReservationRequest): boolean {
    return this.#lines.leave(consumer, request);
  }

  /** While held, every request waits. */
  hold(held: boolean): void {
    if (this.#isHeld && !held) this.#lines.touchAll();
    this.#isHeld = held;
  }

  /**
   * Serves those who wait and for whom there may be something since the last call, in the order of their arrival; one
   * who cannot be served does not keep the next one waiting.
   */
  serve(nowMs: number): void {
    const { changes } = this.#ledger;
    const lines = this.#lines;
    if (lines.size > 0 && !this.#isHeld) {
      lines.touchByChanges();
      for (let turn = lines.nextTurn(); turn !== undefined; turn = lines.nextTurn()) this.#serve(turn, nowMs);
    }
    changes.clear(lines.size > 0 && !this.#isHeld);
  }

  /** For checks: how many wait, and those who must not find anything. */
  get waiting(): { readonly total: number; readonly inVain: readonly Waiting<Peer>[] } {
    const able = [...this.#lines].filter(({ consumer }) => this.#sick.chunksMax(consumer) > 0);
    const isPutOff = this.#isHeld || this.#ledger.plans.isBuilding;
    return { total: this.#lines.size, inVain: isPutOff ? [] : able };
  }

  #serve(turn: Turn<Peer>, nowMs: number): void {
    const { line, next } = turn;
    const { request, consumer } = next;
    // It may have had another turn of its own.
    const attempt = line.requests.has(request) ? this.#try(line, consumer, request, nowMs) : 'served';
    if (attempt === 'none') this.#lines.end(turn);
    else this.#lines.pass(turn);
    if (attempt === 'served') this.#lines.leave(consumer, request);
  }

  #try(line: Line<Peer>, consumer: Consumer<Peer>, request: ReservationRequest, nowMs: number): Attempt {
    const ledger = this.#ledger;
    if (this.#isHeld || ledger.counts.chunksAvailable === 0) return 'none';
    const chunksMax = this.#sick.chunksMax(consumer);
    if (chunksMax === 0) return 'not_for_this_consumer';
    const hidden = consumer.bars === null && consumer.shuns.size === 0 ? null : ledger.hideBarred(consumer);
    const { chunksAvailable, chunksReserved } = ledger.counts;
    const share = shareOf(
      { chunksAvailable, chunksReserved, askers: ledger.askers },
      consumer.chunksReserved,
    );
    const max = Math.min(request.max, CHUNKS_PER_ANSWER_MAX, share, chunksMax);
    const chunks: HandedOutChunk[] = [];
    const { selector } = line;
    let submission: ScheduledSubmission<Peer> | undefined | null;
    while (chunks.length < max) {
      submission = selector.first();
      if (submission === undefined || submission === null) break;
      chunks.push(ledger.handOut(submission, consumer, nowMs));
    }
    selector.release();
    if (hidden !== null) ledger.unhide(hidden);
    if (chunks.length > 0) {
      this.#effects.push({ kind: 'reserved', consumer, request, chunks });
      return 'served';
    }
    this.#lines.foundNothing(line, submission !== null);
    return hidden !== null && hidden.size > 0 ? 'not_for_this_consumer' : 'none';
  }
}
