import type { ChunkId, SubmissionId } from '../../../src/model/ids.ts';
import { key } from '../work.ts';
import type { Row, Rows } from './rows.ts';
import { must } from './violation.ts';

/** What a process counts by. */
export interface Limits {
  readonly chunkRetriesMax: number;
  /** 0: never. */
  readonly chunkDisconnectsMax: number;
  readonly disconnectFadesAfterMs: number;
  readonly reservationExpirationMs: number;
}

interface Tried {
  retries: number;
  /** When connections ended that held the chunk, running or not. */
  readonly breaksMs: number[];
  /** When it may be handed out again, at the earliest. */
  notBeforeMs: number;
}

/** How often chunks were tried, as one process counts it: what it loaded, and what has happened to it since. */
export class Tries {
  readonly #rows: Rows;
  readonly #limits: Limits;
  readonly #elapsedMs: () => number;
  readonly #beganMs: number;
  readonly #chunks = new Map<SubmissionId, Map<number, Tried>>();
  /** How often a chunk has come to the end of its tries, for which it may be given up once each. */
  readonly #spent = new Map<string, number>();
  /** Likewise by broken connections. */
  readonly #broken = new Map<string, number>();

  constructor(rows: Rows, limits: Limits, elapsedMs: () => number) {
    this.#rows = rows;
    this.#limits = limits;
    this.#elapsedMs = elapsedMs;
    this.#beganMs = elapsedMs();
    for (const [submissionId, row] of rows) {
      for (const [chunkIndex, { retries, disconnects }] of row.tries) {
        const tried = this.#of({ submissionId, chunkIndex });
        tried.retries = retries;
        tried.breaksMs.push(...Array<number>(disconnects).fill(elapsedMs()));
        this.#wait(tried, row);
      }
    }
  }

  /**
   * The process has loaded everything, from that time on: perhaps before it took over. What counted on disk is for it as old
   * as its loading of that submission, which is not seen from here: a wait is over by its beginning at the earliest, and what
   * broke is as old as now at the latest.
   */
  loaded(fromMs: number): void {
    const earlierMs = Math.max(0, this.#beganMs - fromMs);
    for (const tried of this.#chunks.values()) {
      for (const each of tried.values()) {
        each.breaksMs.fill(this.#elapsedMs());
        each.notBeforeMs -= earlierMs;
      }
    }
  }

  retriesOf(chunk: ChunkId): number {
    return this.#known(chunk)?.retries ?? 0;
  }

  mustNotWait(chunk: ChunkId): void {
    must(
      this.#elapsedMs() >= (this.#known(chunk)?.notBeforeMs ?? 0),
      () => `${key(chunk)} is handed out before its wait is over`,
    );
  }

  /** A try has come to nothing. `isHopeless`: the consumer said that another one is of no use. True if it was the last one. */
  failed(chunk: ChunkId, isHopeless = false): boolean {
    const tried = this.#of(chunk);
    tried.retries++;
    const row = this.#rows.get(chunk.submissionId);
    if (row === undefined) return false;
    // The first retry is at once where another consumer can take it.
    if (tried.retries === 1 && row.record.retry !== null)
      tried.notBeforeMs = this.#elapsedMs() + row.record.retryDelayMs - 1;
    else this.#wait(tried, row);
    const triesMax = row.record.retry?.triesMax ?? this.#limits.chunkRetriesMax;
    if (!isHopeless && tried.retries < triesMax) return false;
    increase(this.#spent, key(chunk));
    return true;
  }

  /** The connection of its holder has ended. True if it was the last one. */
  broke(chunk: ChunkId): boolean {
    const { breaksMs } = this.#of(chunk);
    const nowMs = this.#elapsedMs();
    breaksMs.push(nowMs);
    const { chunkDisconnectsMax, disconnectFadesAfterMs } = this.#limits;
    const count = breaksMs.filter((atMs) => nowMs - atMs <= disconnectFadesAfterMs).length;
    if (chunkDisconnectsMax === 0 || count < chunkDisconnectsMax) return false;
    increase(this.#broken, key(chunk));
    return true;
  }

  /** All of them begin anew. */
  forget(id: SubmissionId): void {
    this.#chunks.delete(id);
  }

  /** It is given up on disk: for having had its tries, and for nothing else. */
  givenUp(chunk: ChunkId, failure: string): void {
    // Forgotten between its commit and this look: how many tries it had is not known any more.
    if (!this.#rows.has(chunk.submissionId)) return;
    const name = key(chunk);
    const isBroken = failure.startsWith('The connection of the consumer broke');
    const spent = isBroken ? this.#broken : this.#spent;
    const times = spent.get(name) ?? 0;
    must(times > 0, () => `${name} is given up (${failure}) after ${JSON.stringify(this.#known(chunk))}`);
    spent.set(name, times - 1);
  }

  #known({ submissionId, chunkIndex }: ChunkId): Tried | undefined {
    return this.#chunks.get(submissionId)?.get(chunkIndex);
  }

  #of({ submissionId, chunkIndex }: ChunkId): Tried {
    let chunks = this.#chunks.get(submissionId);
    if (chunks === undefined) {
      chunks = new Map();
      this.#chunks.set(submissionId, chunks);
    }
    let tried = chunks.get(chunkIndex);
    if (tried === undefined) {
      tried = { retries: 0, breaksMs: [], notBeforeMs: 0 };
      chunks.set(chunkIndex, tried);
    }
    return tried;
  }

  /** A chunk has failed so often: it is not handed out before the shortest wait of its submission. */
  #wait(tried: Tried, { record }: Row): void {
    if (tried.retries === 0) return;
    const { retry, retryDelayMs } = record;
    let leastMs = retryDelayMs;
    if (retry !== null) {
      let stepMs = retry.delayMs;
      for (let i = 1; i < tried.retries; i++) stepMs = Math.min(stepMs * retry.factor, retry.delayMsMax);
      leastMs = Math.max(leastMs, Math.min(stepMs, retry.delayMsMax) * (1 - retry.jitter));
    }
    tried.notBeforeMs = this.#elapsedMs() + leastMs - 1;
  }
}

function increase(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
