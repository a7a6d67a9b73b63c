/** Clients that keep the queue busy, know what they were told, and notice what contradicts it. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConsumerClient } from 'opsqueue/consumer';
import { ProducerClient } from 'opsqueue/producer';
import { type Random, randomInt } from '../../src/system/random.ts';
import { RawQueue } from '../support/crash/raw-queue.ts';
import type { RawAnswer } from '../support/peers/http-socket.ts';

const STORE = 'memory:///cluster';
const PRODUCERS = 4;
const CONSUMERS = 3;
/** Between two inserts of the pulse, and before one is tried again. */
const PULSE_MS = 20;
/** An insert without an answer is asked again on another connection. */
const PULSE_PATIENCE_MS = 2_000;

const resultOf = (op: number) => op * 2 + 1;

/** Our own clients: submissions whose results are compared, one by one and in order. */
export class ClientLoad {
  /** Ids of acknowledged submissions. */
  readonly acknowledged: string[] = [];
  completed = 0;
  ops = 0;
  readonly #producer: ProducerClient<number, number>;
  readonly #consumers: ConsumerClient[];
  readonly #random: Random;
  readonly #pauseMs: number;
  readonly #running: Promise<void>[] = [];
  readonly #awaited: { readonly completed: number; readonly reached: () => void }[] = [];
  #isStopping = false;
  #next = 0;

  /** @param pauseMs of each producer after a submission */
  constructor(address: string, random: Random, pauseMs: number) {
    this.#random = random;
    this.#pauseMs = pauseMs;
    this.#producer = new ProducerClient<number, number>(address, STORE, { logger: null });
    this.#consumers = Array.from(
      { length: CONSUMERS },
      () => new ConsumerClient(address, STORE, { logger: null }),
    );
    for (const consumer of this.#consumers) this.#running.push(consumer.runEachOp(resultOf));
    for (let i = 0; i < PRODUCERS; i++) this.#running.push(this.#produce());
  }

  /** Resolves when so many more submissions are complete; rejects when a client found something wrong. */
  async completes(more: number): Promise<void> {
    const reached = Promise.withResolvers<void>();
    this.#awaited.push({ completed: this.completed + more, reached: reached.resolve });
    await Promise.race([reached.promise, ...this.#running]);
  }

  /** Waits for all results. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running.slice(CONSUMERS));
    await Promise.all(this.#consumers.map((consumer) => consumer.stop()));
    await Promise.all(this.#running);
  }

  /** Every acknowledged submission is there, and complete. Before {@link close}. */
  async verify(): Promise<void> {
    assert.equal(new Set(this.acknowledged).size, this.acknowledged.length, 'two submissions have one id');
    for (const id of this.acknowledged) {
      const details = await this.#producer.submission(id).details();
      assert.equal(details?.state, 'completed', `submission ${id}`);
    }
  }

  async close(): Promise<void> {
    await this.#producer.close();
  }

  async #produce(): Promise<void> {
    while (!this.#isStopping) {
      const first = this.#next;
      const ops = Array.from({ length: 1 + randomInt(this.#random, 60) }, (_, i) => first + i);
      this.#next += ops.length;
      const where = this.#random.next() < 0.5 ? 'queue' : 'object-store';
      const options = { chunkSize: 1 + randomInt(this.#random, 5), in: where } as const;
      const id = await this.#producer.insertSubmission(ops, options);
      this.acknowledged.push(id);
      const results: number[] = [];
      for await (const result of this.#producer.submission(id).results()) results.push(result);
      assert.deepEqual(results, ops.map(resultOf), `the results of submission ${id}`);
      this.completed++;
      this.ops += ops.length;
      for (const each of this.#awaited) if (this.completed >= each.completed) each.reached();
      if (this.#pauseMs > 0) await sleep(this.#pauseMs);
    }
  }
}

/**
 * One small insert after the other, byte by byte and to whichever node answers: the times between acknowledgements are what a
 * client has to wait. Nobody works on them: they have to be there in the end.
 */
export class Pulse {
  readonly acknowledged = new Map<string, string>();
  /** When each was acknowledged, on the monotonic clock. */
  readonly #atMs: number[] = [];
  readonly #ports: readonly number[];
  readonly #running: Promise<void>;
  #isStopping = false;

  constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.#running = this.#beat();
  }

  /** The first acknowledgement after that moment. */
  async beatsAfter(ms: number, withinMs: number): Promise<number> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      const found = this.#atMs.findLast((at) => at > ms);
      if (found !== undefined) return this.#atMs.find((at) => at > ms) ?? found;
      assert.ok(performance.now() < endMs, `no insert was acknowledged within ${withinMs} ms`);
      await Promise.race([sleep(PULSE_MS), this.#running]);
    }
  }

  /** The longest time without an acknowledgement since then. */
  longestGapMs(sinceMs: number): number {
    const at = [...this.#atMs.filter((ms) => ms > sinceMs), performance.now()];
    const before = this.#atMs.findLast((ms) => ms <= sinceMs) ?? sinceMs;
    return Math.max(...at.map((ms, i) => ms - (at[i - 1] ?? before)));
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  /** Every acknowledged insert is there under its id. */
  async verify(port: number): Promise<void> {
    using queue = await RawQueue.connect(port);
    for (const [prefix, id] of this.acknowledged) {
      const answer = await queue.get(`/q/pulse/producer/submissions/lookup_id_by_prefix/${prefix}`);
      assert.equal(answer.body.toString(), id, `${prefix} was acknowledged`);
    }
  }

  async #beat(): Promise<void> {
    let open: RawQueue | null = null;
    let node = 0;
    for (let number = 1; !this.#isStopping; ) {
      const prefix = `pulse-${number}`;
      try {
        const queue: RawQueue =
          open ?? (await within(RawQueue.connect(this.#ports[node % this.#ports.length] ?? 0)));
        open = queue;
        const request = { chunk_contents: { SeeObjectStorage: { prefix, count: 3 } } };
        const { status, body }: RawAnswer = await within(
          queue.post('/q/pulse/producer/submissions', JSON.stringify(request)),
        );
        if (status === 200) {
          this.acknowledged.set(prefix, body.toString());
          this.#atMs.push(performance.now());
          number++;
        } else {
          assert.equal(status, 503, body.toString());
          throw new Error('not this one, or not now');
        }
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        open?.[Symbol.dispose]();
        open = null;
        node++;
      }
      await sleep(PULSE_MS);
    }
    open?.[Symbol.dispose]();
  }
}

async function within<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('no answer')), PULSE_PATIENCE_MS);
  work.catch(() => {});
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
