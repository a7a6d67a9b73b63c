import assert from 'node:assert/strict';
import { Strategy } from '../../../src/model/strategy.ts';
import type { SubmissionFacts } from '../../../src/model/submission.ts';
import { formatInsertRequest, parseId } from '../../../src/protocol/producer/requests.ts';
import type { ConsumerPeer } from '../peers/consumer-peer.ts';
import type { TestServer } from '../queues/test-server.ts';
import type { Fact } from './facts.ts';

/** A submission as it is to be when a session mentions it. */
export interface Wanted {
  readonly record: SubmissionFacts;
  readonly inputs?: ReadonlyMap<number, Uint8Array | null>;
  readonly state: 'in_progress' | 'completed' | 'failed' | 'cancelled';
  readonly chunksDone: number;
  readonly failed?: { readonly chunkIndex: number; readonly failure: string };
}

export function wantedOf(fact: Fact): Wanted {
  const { record, status, inputs } = fact;
  switch (status.state) {
    case 'in_progress':
    case 'cancelled':
      return { record, inputs, state: status.state, chunksDone: status.chunksDone };
    case 'completed':
      return { record, inputs, state: 'completed', chunksDone: record.chunksTotal };
    case 'completed_with_failures':
      throw new Error('the original has no such state');
    case 'failed':
      return {
        record,
        inputs,
        state: 'failed',
        chunksDone: status.chunksDone ?? 0,
        failed: status.failedChunk,
      };
  }
}

/** Brings a queue into the state in which a recording began. */
export class Scene {
  readonly #queue: TestServer;
  #consumer: ConsumerPeer | null = null;

  constructor(queue: TestServer) {
    this.#queue = queue;
  }

  /** @returns the id that it has here */
  async insert(wanted: Wanted): Promise<bigint> {
    const { record } = wanted;
    const inputs = Array.from({ length: record.chunksTotal }, (_, i) => wanted.inputs?.get(i) ?? null);
    const body = formatInsertRequest({
      contents:
        record.prefix === null
          ? { kind: 'direct', contents: inputs }
          : { kind: 'object_storage', prefix: record.prefix, count: record.chunksTotal },
      metadata: record.metadata,
      strategicMetadata: record.strategicMetadata,
      chunkSizeOps: record.chunkSizeOps,
      retryDelayMs: 0,
      retry: null,
      failureMode: 'fail',
    });
    const answer = await this.#queue.post('/producer/submissions', body);
    assert.equal(answer.status, 200, answer.body.toString());
    const id = parseId(answer.body);
    await this.#bringTo(id, wanted);
    return id;
  }

  /** Completes chunks that nobody needs to have reserved. */
  async complete(id: bigint, chunkIndexes: readonly number[]): Promise<void> {
    const consumer = await this.#connected();
    for (const chunkIndex of chunkIndexes) consumer.complete({ submissionId: id, chunkIndex });
    await settled(consumer);
  }

  async #bringTo(id: bigint, wanted: Wanted): Promise<void> {
    const { chunksTotal } = wanted.record;
    const indexes = Array.from({ length: chunksTotal }, (_, i) => i).filter(
      (index) => index !== wanted.failed?.chunkIndex,
    );
    if (wanted.chunksDone > 0) await this.complete(id, indexes.slice(0, wanted.chunksDone));
    if (wanted.failed !== undefined) await this.#fail(id, wanted.failed);
    if (wanted.state === 'cancelled') {
      const answer = await this.#queue.request(`POST /producer/submissions/cancel/${id}`);
      assert.equal(answer.status, 200);
    }
    if (wanted.state !== 'in_progress') {
      const name = { completed: 'Completed', failed: 'Failed', cancelled: 'Cancelled' }[wanted.state];
      assert.match(await this.#queue.status(id, '?wait_ms=10000'), new RegExp(`^\\{"${name}":`));
    }
    await this.leave();
  }

  /** Fails the chunk until its submission fails. */
  async #fail(id: bigint, { chunkIndex, failure }: { chunkIndex: number; failure: string }): Promise<void> {
    while ((await this.#queue.status(id)).startsWith('{"InProgress":')) {
      const consumer = await this.#connected();
      // The newest submission is the one that was just inserted.
      const chunks = await consumer.reserved(1000, Strategy.newest());
      const found = chunks.find(({ chunk }) => chunk.submissionId === id && chunk.chunkIndex === chunkIndex);
      assert.ok(found !== undefined);
      consumer.fail(found.chunk, failure);
      await settled(consumer);
      await this.leave();
    }
  }

  /** Gives back what the scene's own consumer holds. */
  async leave(): Promise<void> {
    await this.#consumer?.close();
    this.#consumer = null;
  }

  async #connected(): Promise<ConsumerPeer> {
    this.#consumer ??= await this.#queue.consumer();
    return this.#consumer;
  }
}

/** An answer comes after everything that was sent before has been dealt with. */
async function settled(consumer: ConsumerPeer): Promise<void> {
  consumer.reserve(0);
  await consumer.next('reserve_refused');
}
