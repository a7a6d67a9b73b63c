import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Strategy } from '../../../src/model/strategy.ts';
import type { ReservedChunkMessage } from '../../../src/protocol/consumer/types.ts';
import { type Random, randomInt } from '../../../src/system/random.ts';
import { OldClient } from './old-client.ts';

export interface OldClientLoadOptions {
  readonly port: number;
  readonly clients: number;
  readonly random: Random;
  /** A submission whose chunks are not done within that time is one that nobody was woken for. */
  readonly patienceMs: number;
}

export interface OldClientLoadFigures {
  readonly chunksDone: number;
  readonly failures: number;
  readonly connectionsBroken: number;
  readonly submissionsDone: number;
  readonly submissionsCancelled: number;
  /** The longest from an insert to its last completion. */
  readonly slowestMs: number;
}

/** What is known of one submission. */
class Work {
  readonly chunksTotal: number;
  readonly done = new Set<number>();
  readonly retries = new Map<number, number>();
  readonly finished = Promise.withResolvers<void>();
  readonly #whenTaken = new Map<number, () => void>();
  #isCancelled = false;

  constructor(chunksTotal: number) {
    this.chunksTotal = chunksTotal;
  }

  complete(index: number): void {
    this.done.add(index);
    if (this.done.size === this.chunksTotal) this.finished.resolve();
  }

  /** Somebody got a chunk. */
  take(index: number): void {
    this.#whenTaken.get(index)?.();
    this.#whenTaken.delete(index);
  }

  /** Resolves when a chunk that is given back now has been taken by another, or nobody will. */
  left(index: number): Promise<void> {
    if (this.#isCancelled) return Promise.resolve();
    return new Promise((resolve) => this.#whenTaken.set(index, resolve));
  }

  cancel(): void {
    this.#isCancelled = true;
    for (const index of [...this.#whenTaken.keys()]) this.take(index);
  }
}

const STRATEGIES = [
  Strategy.oldest(),
  Strategy.newest(),
  Strategy.random(),
  Strategy.preferDistinct('customer', Strategy.random()),
];
interface Round {
  readonly producers: number;
  /** One after the other, by each. */
  readonly submissions: number;
  readonly sizes: readonly number[];
  /** One chunk in so many fails; one answer in so many is the last thing that a client sees. */
  readonly failsEvery: number;
  readonly vanishesEvery: number;
}

/** So much that some client always asks, and gets what nobody was woken for. */
const BUSY: Round = {
  producers: 4,
  submissions: 8,
  sizes: [1, 3, 20, 64, 300],
  failsEvery: 50,
  vanishesEvery: 200,
};
/** So little that all the others wait: what is given back is taken only if one of them is woken. */
const QUIET: Round = { producers: 1, submissions: 12, sizes: [1, 2, 3], failsEvery: 4, vanishesEvery: 12 };
const NEVER = Number.POSITIVE_INFINITY;
/** The roll call: as many chunks as everybody may ask for, and nothing goes wrong. */
const LAST = (clients: number): Round => ({
  producers: 1,
  submissions: 1,
  sizes: [3 * clients],
  failsEvery: NEVER,
  vanishesEvery: NEVER,
});

/**
 * Clients of the original that work on what producers submit, and now and then fail a chunk or vanish, and an account
 * of who holds what: a chunk that two hold, that comes again when it was done, or that never comes is an error.
 *
 * The one gap: a chunk whose connection broke may be handed out again before this process has seen the end of it, so
 * connections end here first.
 */
export class OldClientLoad {
  readonly #options: OldClientLoadOptions;
  readonly #works = new Map<number, Work>();
  readonly #holders = new Map<string, OldClient>();
  readonly #clients = new Set<OldClient>();
  readonly #broken = Promise.withResolvers<never>();
  /** In a roll call everybody keeps what he got until all have something. */
  #rollCall: {
    readonly held: Map<OldClient, readonly ReservedChunkMessage[]>;
    readonly all: () => void;
  } | null = null;
  #number = 0;
  #isOver = false;
  #round: Round = BUSY;
  #chunksDone = 0;
  #failures = 0;
  #connectionsBroken = 0;
  #submissionsDone = 0;
  #submissionsCancelled = 0;
  #slowestMs = 0;

  constructor(options: OldClientLoadOptions) {
    this.#options = options;
    this.#broken.promise.catch(() => {});
  }

  async start(): Promise<void> {
    for (let i = 0; i < this.#options.clients; i++) await this.#connect();
  }

  /** Busy and quiet rounds until the signal; then everybody must be there. */
  async run(signal: AbortSignal): Promise<OldClientLoadFigures> {
    while (!signal.aborted) {
      await this.#play(BUSY);
      await this.#play(QUIET);
    }
    await this.#callRoll();
    return {
      chunksDone: this.#chunksDone,
      failures: this.#failures,
      connectionsBroken: this.#connectionsBroken,
      submissionsDone: this.#submissionsDone,
      submissionsCancelled: this.#submissionsCancelled,
      slowestMs: this.#slowestMs,
    };
  }

  async #play(round: Round): Promise<void> {
    this.#round = round;
    const { producers, submissions, sizes } = round;
    const produce = async () => {
      for (let i = 0; i < submissions; i++) await this.#submission(sizes[this.#below(sizes.length)] ?? 1);
    };
    await Promise.race([this.#broken.promise, Promise.all(Array.from({ length: producers }, produce))]);
  }

  /** One time in so many. */
  #chance(every: number): boolean {
    return this.#options.random.next() * every < 1;
  }

  close(): void {
    this.#isOver = true;
    for (const client of this.#clients) client.destroy();
  }

  #below(limit: number): number {
    return randomInt(this.#options.random, limit);
  }

  async #connect(): Promise<void> {
    const client = await OldClient.connect(this.#options.port, {
      chunks: (from, chunks) => this.#guard(() => this.#received(from, chunks)),
      closed: () => this.#broken.reject(new Error('the server ended a connection')),
      violated: (error) => this.#broken.reject(error),
    });
    if (this.#isOver) {
      client.destroy();
      return;
    }
    this.#clients.add(client);
    this.#ask(client);
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#broken.reject(error);
    }
  }

  #ask(client: OldClient): void {
    client.reserve(this.#chance(5) ? 3 : 1, STRATEGIES[this.#below(STRATEGIES.length)] ?? Strategy.oldest());
  }

  #received(client: OldClient, chunks: readonly ReservedChunkMessage[]): void {
    for (const { chunk, submission, retries, inputContent } of chunks) {
      const name = `${chunk.submissionId}/${chunk.chunkIndex}`;
      const work = this.#works.get(numberIn(submission.metadata));
      assert(work !== undefined, `chunk ${name} of a submission that is long over`);
      assert(!this.#holders.has(name), `two hold chunk ${name}`);
      assert(!work.done.has(chunk.chunkIndex), `chunk ${name} comes again and was done`);
      assert.equal(retries, work.retries.get(chunk.chunkIndex) ?? 0, `retries of chunk ${name}`);
      if (submission.prefix === null) assert.deepEqual(inputContent, inputOf(chunk.chunkIndex));
      this.#holders.set(name, client);
      work.take(chunk.chunkIndex);
    }
    if (this.#rollCall !== null) {
      this.#rollCall.held.set(client, chunks);
      if (this.#rollCall.held.size === this.#options.clients) this.#rollCall.all();
      return;
    }
    if (this.#chance(this.#round.vanishesEvery)) {
      this.#vanish(client, chunks);
    } else if (this.#chance(10)) {
      void sleep(this.#below(10)).then(() => this.#guard(() => this.#work(client, chunks)));
    } else {
      this.#work(client, chunks);
    }
  }

  #work(client: OldClient, chunks: readonly ReservedChunkMessage[]): void {
    if (this.#isOver) return;
    const left: Promise<void>[] = [];
    for (const { chunk, submission } of chunks) {
      const work = this.#works.get(numberIn(submission.metadata));
      this.#holders.delete(`${chunk.submissionId}/${chunk.chunkIndex}`);
      if (work !== undefined && this.#chance(this.#round.failsEvery)) {
        this.#failures++;
        work.retries.set(chunk.chunkIndex, (work.retries.get(chunk.chunkIndex) ?? 0) + 1);
        left.push(work.left(chunk.chunkIndex));
        client.fail(chunk, 'it was not its day');
      } else {
        client.complete(chunk, submission.prefix === null ? Uint8Array.of(1) : null);
        this.#chunksDone++;
        work?.complete(chunk.chunkIndex);
      }
    }
    void this.#othersFirst(left).then(() => this.#guard(() => this.#ask(client)));
  }

  #vanish(client: OldClient, chunks: readonly ReservedChunkMessage[]): void {
    this.#connectionsBroken++;
    this.#clients.delete(client);
    const left = chunks.map(({ chunk, submission }) => {
      this.#holders.delete(`${chunk.submissionId}/${chunk.chunkIndex}`);
      return this.#works.get(numberIn(submission.metadata))?.left(chunk.chunkIndex);
    });
    client.destroy();
    this.#othersFirst(left)
      .then(() => this.#connect())
      .catch(this.#broken.reject);
  }

  /** Every other time nothing more is asked for until others, who wait, got what was given back: they must be woken. */
  async #othersFirst(left: readonly (Promise<void> | undefined)[]): Promise<void> {
    if (left.length > 0 && this.#chance(2)) await Promise.all(left);
  }

  async #submission(chunksTotal: number): Promise<void> {
    const number = this.#number++;
    const work = new Work(chunksTotal);
    this.#works.set(number, work);
    const began = performance.now();
    const id = await this.#insert(number, chunksTotal);
    if (this.#chance(20) && this.#rollCall === null) {
      const { status } = await this.#post(`cancel/${id}`);
      assert(status === 200 || status === 409, `cancelled: ${status}`);
      if (status === 200) {
        this.#submissionsCancelled++;
        work.cancel();
        // Its chunks are on their way to somebody still; it stays in the account.
        return;
      }
    }
    await this.#inTime(work, id);
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - began);
    this.#submissionsDone++;
    this.#works.delete(number);
  }

  async #inTime(work: Work, id: string): Promise<void> {
    const { patienceMs } = this.#options;
    const waited = new AbortController();
    const patience = sleep(patienceMs, null, { signal: waited.signal }).then(
      () =>
        assert.fail(
          `${work.done.size} of ${work.chunksTotal} chunks of ${id} are done after ${patienceMs} ms`,
        ),
      () => {},
    );
    try {
      await Promise.race([work.finished.promise, patience, this.#broken.promise]);
    } finally {
      waited.abort();
    }
  }

  async #insert(number: number, chunksTotal: number): Promise<string> {
    const contents =
      number % 3 === 0
        ? { Direct: { contents: Array.from({ length: chunksTotal }, (_, index) => [...inputOf(index)]) } }
        : { SeeObjectStorage: { prefix: `load-${number}`, count: chunksTotal } };
    const bytes = [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff);
    const { status, text } = await this.#post('', {
      chunk_contents: contents,
      metadata: bytes,
      strategic_metadata: { customer: number % 7 },
      chunk_size: 1,
    });
    assert.equal(status, 200, text);
    return text;
  }

  async #post(path: string, body?: unknown): Promise<{ readonly status: number; readonly text: string }> {
    const url = `http://127.0.0.1:${this.#options.port}/producer/submissions${path && `/${path}`}`;
    const init = body === undefined ? {} : { body: JSON.stringify(body), headers: JSON_TYPE };
    const response = await fetch(url, { method: 'POST', ...init });
    return { status: response.status, text: await response.text() };
  }

  /** Everybody waits with a reservation by now. There is enough for each, so each must get something. */
  async #callRoll(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const held = new Map<OldClient, readonly ReservedChunkMessage[]>();
    this.#rollCall = { held, all: resolve };
    const submitted = this.#play(LAST(this.#options.clients));
    await Promise.race([promise, submitted]);
    this.#rollCall = null;
    for (const [client, chunks] of held) this.#work(client, chunks);
    await submitted;
  }
}

const JSON_TYPE = { 'content-type': 'application/json' };

function inputOf(chunkIndex: number): Uint8Array {
  return Uint8Array.of(chunkIndex & 0xff, 7);
}

function numberIn(metadata: Uint8Array | null): number {
  assert(metadata?.length === 4);
  return Buffer.from(metadata).readUInt32BE();
}
