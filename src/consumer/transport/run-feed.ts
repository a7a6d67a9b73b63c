import type { Nonce } from '../../protocol/consumer/types.ts';
import { opsOpenMax, type RunDemand } from '../thread/protocol.ts';

/** With `prefetch: 'auto'`: so much work is reserved ahead, in milliseconds of the callback's pace ... */
const AHEAD_MS = 100;
/** ... and so many chunks at most. */
const AHEAD_CHUNKS_MAX = 64;
/** Callbacks that take longer get nothing ahead: it would only wait here, while others could work on it. */
const SLOW_MS = 5_000;
/** Results that wait for their upload hold up further reservations beyond this number. */
const SENDING_MAX = 64;
/** Weight of the latest value in a moving average. */
const WEIGHT = 0.2;

/**
 * How many chunks a run wants. It keeps `concurrency` chunks plus those ahead reserved, and less where their
 * bodies would take more than `memoryBytesMax`. Of the chunks themselves it knows nothing.
 */
export class RunFeed<Chunk> {
  readonly run: number;
  readonly demand: RunDemand;
  /** Reserved and without a result, in the order in which they were reserved. */
  readonly #waiting: Chunk[] = [];
  /** The reservation that is outstanding. */
  nonce: Nonce | null = null;
  /** For so many chunks. */
  asked = 0;
  /** Nothing is asked for until then (an empty answer). */
  isPausing = false;
  isStopped = false;
  /** A timer looks after downloads that take long. */
  isWatched = false;
  /** A timer looks after callbacks that take long. */
  isStallWatched = false;
  /** The callback has been busy for so long that nothing is reserved ahead any more, until it comes back. */
  isStalled = false;
  /** The latest answer was shorter than asked for: there is little, and others want some of it. */
  #isScarce = false;
  /** When the latest result came. */
  progressMs = 0;
  /** Chunks that have no result yet. */
  chunksOpen = 0;
  /** Chunks whose result is on its way. */
  chunksSending = 0;
  bytesHeld = 0;
  #computeMs: number | null = null;
  /** Of the latest chunk. */
  #opsPerChunk: number | null = null;
  #inputBytes = 0;
  #outputBytes = 0;

  constructor(run: number, demand: RunDemand) {
    this.run = run;
    this.demand = demand;
  }

  /** Chunks that are worked on at once: where operations are counted, as many as these take. */
  get concurrency(): number {
    const { concurrency, ops } = this.demand;
    if (ops === null) return concurrency;
    // Nothing is known of the size of chunks before the first one: one to work on, and one more.
    const opsPerChunk = this.#opsPerChunk ?? ops.atOnce;
    return Math.min(concurrency, Math.ceil(opsOpenMax(ops, opsPerChunk) / opsPerChunk));
  }

  /** A chunk was reserved. */
  noteChunk(ops: number): void {
    this.#opsPerChunk = ops;
  }

  /** How many more chunks to reserve now. */
  get wanted(): number {
    if (this.isStopped || this.isPausing || this.nonce !== null) return 0;
    if (this.chunksSending >= SENDING_MAX) return 0;
    const target = this.concurrency + this.#ahead();
    const fitting = this.#chunksFitting() - this.chunksSending;
    const wanted = Math.min(target, fitting) - this.chunksOpen;
    // Few large reservations rather than many small ones, as long as there is enough to do meanwhile.
    return wanted > 0 && (this.chunksOpen === 0 || wanted >= target / 4) ? wanted : 0;
  }

  get isEmpty(): boolean {
    return this.chunksOpen === 0 && this.chunksSending === 0;
  }

  /** Whether one more body may be downloaded; one always may, or nothing would ever move. */
  mayFetch(): boolean {
    return this.bytesHeld === 0 || this.bytesHeld + this.#inputBytes <= this.demand.memoryBytesMax;
  }

  get inputBytesExpected(): number {
    return Math.round(this.#inputBytes);
  }

  /** A reservation of so many chunks was answered with so many. */
  noteAnswer(asked: number, chunks: number): void {
    this.#isScarce = chunks < asked;
  }

  /** It was chosen here to reserve ahead, and it holds more than twice what it works on. */
  get holdsMuch(): boolean {
    return this.demand.prefetch === 'auto' && this.chunksOpen > 2 * this.concurrency;
  }

  /** How long what it holds keeps it busy, by the callback's pace; 0 if that is not known. */
  get backlogMs(): number {
    return ((this.#computeMs ?? 0) * this.chunksOpen) / this.concurrency;
  }

  noteInput(bytes: number): void {
    this.#inputBytes = average(this.#inputBytes, bytes);
  }

  noteResult(bytes: number, computeMs: number | null): void {
    this.#outputBytes = average(this.#outputBytes, bytes);
    if (computeMs === null) return;
    this.#computeMs = this.#computeMs === null ? computeMs : average(this.#computeMs, computeMs);
  }

  /** Chunks that wait to be handed over, in order. */
  get queue(): Chunk[] {
    return this.#waiting;
  }

  #ahead(): number {
    const { concurrency } = this;
    const { prefetch } = this.demand;
    if (this.isStalled) return 0;
    if (prefetch !== 'auto') return prefetch;
    if (this.#computeMs === null || this.#computeMs > SLOW_MS) return 0;
    const chunks = Math.ceil((AHEAD_MS * concurrency) / Math.max(this.#computeMs, 0.01));
    return Math.min(Math.max(chunks, 1), this.#isScarce ? concurrency : AHEAD_CHUNKS_MAX);
  }

  #chunksFitting(): number {
    const each = this.#inputBytes + this.#outputBytes;
    return each === 0 ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(this.demand.memoryBytesMax / each));
  }
}

function average(before: number, latest: number): number {
  return before === 0 ? latest : before + WEIGHT * (latest - before);
}
