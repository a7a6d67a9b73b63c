import { type HeldChunk, opsOf, opsOpenMax, type RunDemand } from '../thread/protocol.ts';
import { Feed, type FeedChunk } from './feed.ts';

/** With `prefetch: 'auto'`: as much work is reserved ahead, in milliseconds of the callback's pace ... */
const AHEAD_MS = 100;
/** ... and at most this many chunks. */
const AHEAD_CHUNKS_MAX = 64;
/** Callbacks that take longer get nothing ahead: it would only wait here, while others could work on it. */
const SLOW_MS = 5_000;
/** Results that wait for their upload hold up further reservations beyond this number. */
const SENDING_MAX = 64;
/** Weight of the latest value in a moving average. */
const WEIGHT = 0.2;
/** Chunks are handed over in the order of their reservation, but a download that takes longer holds up no others. */
export const SLOW_FETCH_MS = 1_000;

/**
 * A run of one of the `runEach...`. It keeps `concurrency` chunks plus those ahead reserved, and less where their
 * bodies would take more than `memoryBytesMax`.
 */
export class RunFeed extends Feed {
  readonly #demand: RunDemand;
  /** The latest answer was shorter than asked for: there is little, and others want some of it. */
  #isScarce = false;
  #computeMs: number | null = null;
  /** Of the latest chunk. */
  #opsPerChunk: number | null = null;
  #inputBytes = 0;
  #outputBytes = 0;

  constructor(id: number, demand: RunDemand) {
    super(id, demand.strategy);
    this.#demand = demand;
  }

  override get concurrencyMax(): number {
    return this.#demand.concurrency;
  }

  /** Those that are worked on at once: where operations are counted, as many as these take. */
  override get keeps(): number {
    const { concurrency, ops } = this.#demand;
    if (ops === null) return concurrency;
    // Nothing is known of the size of chunks before the first one: one to work on, and one more.
    const opsPerChunk = this.#opsPerChunk ?? ops.atOnce;
    return Math.min(concurrency, Math.ceil(opsOpenMax(ops, opsPerChunk) / opsPerChunk));
  }

  override get reservesByPace(): boolean {
    return this.#demand.prefetch === 'auto';
  }

  override get backlogMs(): number {
    return ((this.#computeMs ?? 0) * this.chunksOpen) / this.keeps;
  }

  override get inputBytesExpected(): number {
    return Math.round(this.#inputBytes);
  }

  override get takesSurplus(): boolean {
    return true;
  }

  override get isOver(): boolean {
    return this.isStopped && this.chunksOpen === 0 && this.chunksSending === 0;
  }

  protected override get missing(): number {
    if (this.chunksSending >= SENDING_MAX) return 0;
    const target = this.keeps + this.#ahead();
    const fitting = this.#chunksFitting() - this.chunksSending;
    const missing = Math.min(target, fitting) - this.chunksOpen;
    // Few large reservations rather than many small ones, as long as there is enough to do meanwhile.
    return missing > 0 && (this.chunksOpen === 0 || missing >= target / 4) ? missing : 0;
  }

  /** One body always may be fetched, or nothing would ever move. */
  protected override mayFetch(): boolean {
    return this.bytesHeld === 0 || this.bytesHeld + this.#inputBytes <= this.#demand.memoryBytesMax;
  }

  override handOver(nowMs: number): HeldChunk[] {
    if (this.isStopped) return [];
    const { queue } = this;
    const due: HeldChunk[] = [];
    let kept = 0;
    this.isHeldUp = false;
    for (const chunk of queue) {
      if (chunk.state === 'gone') continue;
      if (chunk.state === 'ready' && !this.isHeldUp) {
        due.push(chunk.handOver('handed', nowMs));
        continue;
      }
      if (nowMs - chunk.reservedMs < SLOW_FETCH_MS) this.isHeldUp = true;
      queue[kept++] = chunk;
    }
    queue.length = kept;
    return due;
  }

  /** Infinite limits leave 0. */
  override timeUsed(chunk: FeedChunk, nowMs: number, aliveMs: number): number {
    if (chunk.state !== 'handed') return 0;
    const busyMs = nowMs - Math.max(chunk.handedMs, this.progressMs, aliveMs);
    return busyMs / this.#demand.callbackMsMax;
  }

  override add(chunk: FeedChunk): void {
    super.add(chunk);
    this.#opsPerChunk = opsOf(chunk.submission);
  }

  override noteAnswer(chunks: number): void {
    this.#isScarce = chunks < this.asked;
  }

  override noteInput(bytes: number): void {
    this.#inputBytes = average(this.#inputBytes, bytes);
  }

  override noteResult(bytes: number, computeMs: number | null): void {
    this.#outputBytes = average(this.#outputBytes, bytes);
    if (computeMs === null) return;
    this.#computeMs = this.#computeMs === null ? computeMs : average(this.#computeMs, computeMs);
  }

  #ahead(): number {
    const { prefetch } = this.#demand;
    if (this.isStalled) return 0;
    if (prefetch !== 'auto') return prefetch;
    if (this.#computeMs === null || this.#computeMs > SLOW_MS) return 0;
    const chunks = Math.ceil((AHEAD_MS * this.keeps) / Math.max(this.#computeMs, 0.01));
    return Math.min(Math.max(chunks, 1), this.#isScarce ? this.keeps : AHEAD_CHUNKS_MAX);
  }

  #chunksFitting(): number {
    const each = this.#inputBytes + this.#outputBytes;
    return each === 0
      ? Number.POSITIVE_INFINITY
      : Math.max(1, Math.floor(this.#demand.memoryBytesMax / each));
  }
}

function average(before: number, latest: number): number {
  return before === 0 ? latest : before + WEIGHT * (latest - before);
}
