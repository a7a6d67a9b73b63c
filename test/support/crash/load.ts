/** Producers and consumers that keep a queue busy with everything it can do, and write down what they are told. */
import assert from 'node:assert/strict';
import { Strategy } from '../../../src/model/strategy.ts';
import { parseStatus } from '../../../src/protocol/producer/requests.ts';
import { type Random, randomInt } from '../../../src/system/random.ts';
import { ConsumerPeer } from '../peers/consumer-peer.ts';
import type { Entry, FactKind, Ledger } from './ledger.ts';
import { RawQueue } from './raw-queue.ts';

export interface LoadOptions {
  readonly ledger: Ledger;
  readonly random: Random;
  /** The name of this piece of load: no two submissions are called the same. */
  readonly name: string;
  /** Default 3. 0: the consumers finish what is there. */
  readonly producers?: number;
  /** Default 3. */
  readonly consumers?: number;
  /** Bytes of the largest input of a direct submission. Default 2000. */
  readonly inputBytesMax?: number;
}

/** What goes over the wire for a chunk of a direct submission: it tells where it belongs. */
export const inputOf = (entry: Entry, chunk: number, bytes = 0): Buffer =>
  Buffer.from(`in ${entry.name} ${chunk}`.padEnd(bytes));
export const outputOf = (entry: Entry, chunk: number): Buffer => Buffer.from(`out ${entry.name} ${chunk}`);

/**
 * Runs until the queue is gone or `stop`. What a client finds wrong ends it, and `ended` rejects with it; a connection that breaks is not wrong.
 */
export class Load {
  readonly #o: Required<LoadOptions>;
  readonly #port: number;
  readonly #peers: ConsumerPeer[] = [];
  readonly #clients: Promise<void>[] = [];
  #isStopping = false;
  #number = 0;

  private constructor(port: number, options: LoadOptions) {
    this.#port = port;
    this.#o = { producers: 3, consumers: 3, inputBytesMax: 2000, ...options };
  }

  static start(port: number, options: LoadOptions): Load {
    const load = new Load(port, options);
    const { producers, consumers } = load.#o;
    for (let i = 0; i < producers; i++) load.#clients.push(load.#untilGone(() => load.#produce()));
    for (let i = 0; i < consumers; i++) load.#clients.push(load.#untilGone(() => load.#consume()));
    // Whoever waits for facts must hear of a client that gave up.
    for (const client of load.#clients) client.catch(() => load.#stop());
    return load;
  }

  /** Waits for the end of all clients: after the queue is gone, or when one of them found something wrong. */
  async ended(): Promise<void> {
    await Promise.all(this.#clients);
  }

  /** Waits for the facts, or for the error of a client. */
  async reaches(facts: number, kind: FactKind | null = null): Promise<void> {
    await Promise.race([this.#o.ledger.reaches(facts, kind), this.ended()]);
  }

  /** Lets the producers finish what they are at; consumers hang up. */
  async stop(): Promise<void> {
    this.#stop();
    await this.ended();
  }

  #stop(): void {
    this.#isStopping = true;
    for (const peer of this.#peers) peer.cut();
  }

  async #untilGone(client: () => Promise<void>): Promise<void> {
    try {
      await client();
    } catch (error) {
      if (!isBrokenConnection(error)) throw error;
    }
  }

  async #produce(): Promise<void> {
    using queue = await RawQueue.connect(this.#port);
    const own: Entry[] = [];
    while (!this.#isStopping) {
      const what = this.#o.random.next();
      // Young ones mostly, in which something is going on.
      const entry = own[own.length - 1 - Math.floor(this.#o.random.next() ** 4 * own.length)];
      if (entry === undefined || what < 0.4) own.push(await this.#insert(queue));
      else if (what < 0.5) await this.#cancel(queue, entry);
      else if (what < 0.55) await this.#insertAgain(queue, entry);
      else if (what < 0.8) await this.#look(queue, entry);
      else await this.#lookAtChunks(queue, entry);
    }
  }

  async #insert(queue: RawQueue): Promise<Entry> {
    const { ledger, random, name } = this.#o;
    const isDirect = random.next() < 0.3;
    const size = random.next();
    const chunksTotal =
      1 +
      (isDirect || size < 0.7
        ? randomInt(random, 16)
        : size < 0.97
          ? randomInt(random, 300)
          : 4000 + randomInt(random, 5000));
    const entry = ledger.asksInsert({
      name: `${name}-${++this.#number}`,
      chunksTotal,
      isDirect,
      isBad: random.next() < 0.1,
    });
    await this.#insertAgain(queue, entry);
    return entry;
  }

  /** The prefix, or the key, makes it the same submission. */
  async #insertAgain(queue: RawQueue, entry: Entry): Promise<void> {
    const { ledger, inputBytesMax } = this.#o;
    const { name, chunksTotal, isDirect } = entry;
    const bytes = (number: Buffer) => [...number];
    const contents = Array.from({ length: isDirect ? chunksTotal : 0 }, (_, chunk) =>
      bytes(inputOf(entry, chunk, (name.length * 7919 * (chunk + 1)) % inputBytesMax)),
    );
    const request = {
      chunk_contents: isDirect
        ? { Direct: { contents } }
        : { SeeObjectStorage: { prefix: name, count: chunksTotal } },
      metadata: bytes(Buffer.from(name)),
      strategic_metadata: { size: chunksTotal },
      chunk_size: 3,
    };
    const headers = isDirect ? { 'idempotency-key': name } : undefined;
    const answer = await queue.post('/producer/submissions', JSON.stringify(request), headers);
    if (answer.status === 503) return;
    assert.equal(answer.status, 200, answer.body.toString());
    ledger.inserted(entry, BigInt(answer.body.toString()));
  }

  async #cancel(queue: RawQueue, entry: Entry): Promise<void> {
    if (entry.id === null) return;
    entry.isCancelAsked = true;
    const answer = await queue.post(`/producer/submissions/cancel/${entry.id}`, '');
    if (answer.status === 503) return;
    if (answer.status === 200) {
      this.#o.ledger.cancelled(entry);
      return;
    }
    const text = answer.body.toString();
    assert.equal(answer.status, 409, text);
    const status = parseStatus(text);
    assert.ok(status !== null && status.state !== 'in_progress', text);
    this.#o.ledger.sawStatus(entry, status, text);
  }

  async #look(queue: RawQueue, entry: Entry): Promise<void> {
    if (entry.id === null) return;
    const found = await queue.status(entry.id);
    assert.ok(found, `${entry.name} is not known any more`);
    this.#o.ledger.sawStatus(entry, found.status, found.text);
  }

  async #lookAtChunks(queue: RawQueue, entry: Entry): Promise<void> {
    if (entry.id !== null) this.#o.ledger.sawDone(entry, await queue.done(entry.id));
  }

  async #consume(): Promise<void> {
    const { random } = this.#o;
    const peer = await ConsumerPeer.connect(this.#port);
    this.#peers.push(peer);
    if (this.#isStopping) peer.cut();
    const strategies = [Strategy.oldest(), Strategy.newest(), Strategy.random()];
    for (;;) {
      const strategy = strategies[randomInt(random, strategies.length)];
      for (const message of await peer.reserved(1 + randomInt(random, 64), strategy)) {
        this.#work(peer, this.#o.ledger.took(message), message.chunk, message.inputContent);
      }
    }
  }

  #work(
    peer: ConsumerPeer,
    entry: Entry,
    chunk: { readonly submissionId: bigint; readonly chunkIndex: number },
    input: Uint8Array | null,
  ): void {
    const { ledger, random } = this.#o;
    const { chunkIndex } = chunk;
    if (entry.isDirect) {
      assert.equal(
        Buffer.from(input ?? [])
          .toString()
          .trimEnd(),
        String(inputOf(entry, chunkIndex)),
      );
    }
    if ((entry.isBad && chunkIndex === 0) || random.next() < 0.003) {
      ledger.fails(entry, chunkIndex);
      peer.fail(chunk);
    } else {
      ledger.completes(entry, chunkIndex);
      peer.complete(chunk, entry.isDirect ? outputOf(entry, chunkIndex) : null);
    }
  }
}

/** What a client sees when the queue is killed: never an answer, always a connection that ends. */
export function isBrokenConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code = '' } = error as NodeJS.ErrnoException;
  return (
    ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(code) ||
    /^the connection ended after|^closed \(100[56]\b/.test(error.message) ||
    /WebSocket is not open/.test(error.message)
  );
}
