import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/client.ts';
import { IncorrectUsageError, type RawReservedChunk, Strategy } from '../../src/consumer/index.ts';
import { submissionInfoOf } from '../../src/model/submission.ts';
import { cborChunkCodec } from '../../src/protocol/chunk/codec.ts';
import { decodeClientMessage, decodeServerMessage } from '../../src/protocol/consumer/codec.ts';
import type { ClientMessage, ReservedChunkMessage } from '../../src/protocol/consumer/types.ts';
import { withParts } from '../../src/system/parts.ts';
import { inlineTransport } from '../support/fakes/inline-transport.ts';
import { TempStore } from '../support/objects/temp-store.ts';
import { type GoldenSession, goldenSessions } from '../support/protocol/golden.ts';
import { RecordedServer } from '../support/replay/recorded-server.ts';
import { eventually } from '../support/time/eventually.ts';

// Our consumer does what the recorded Python consumer did, against the recorded server: it must send the same
// messages, with the same nonces, and understand what it is sent, habits of the reference included.

interface Scene {
  readonly server: RecordedServer;
  /** A consumer of its own connection; they connect in the order of their first calls. */
  consumer(): ConsumerClient;
  /** Reserves by hand, and compares what comes with the recorded chunks. */
  reserve(consumer: ConsumerClient, max?: number, strategy?: Strategy): Promise<RawReservedChunk[]>;
}

interface Play {
  readonly run: (scene: Scene) => Promise<void>;
  /** What our client sends on the first connection where that is not the same: kinds of messages, and why. */
  readonly differs?: { readonly sends: readonly ClientMessage['kind'][]; readonly reason: string };
}

const cbor = cborChunkCodec();
const oldest = Strategy.oldest();

/** What the Python client was told to do, by session. */
const PLAYS: Readonly<Record<string, Play>> = {
  oldest_answered_at_once_client_dropped: play(async (scene) => {
    await scene.reserve(scene.consumer());
  }),
  each_strategy_answered_at_once: play(async (scene) => {
    const consumer = scene.consumer();
    const nested = Strategy.preferDistinct('company_id', Strategy.preferDistinct('shop_id', oldest));
    for (const strategy of [oldest, Strategy.newest(), Strategy.random(), nested]) {
      await scene.reserve(consumer, 1, strategy);
    }
  }),
  held_reservation_answered_on_insert: play(async (scene) => {
    await scene.reserve(scene.consumer());
  }),
  several_chunks_at_once: play(async (scene) => {
    const consumer = scene.consumer();
    assert.equal((await scene.reserve(consumer, 3)).length, 3);
    assert.equal((await scene.reserve(consumer, 10)).length, 2);
  }),
  direct_input_and_output_content: play(async (scene) => {
    const consumer = scene.consumer();
    const [first, second] = await scene.reserve(consumer, 2);
    await consumer.completeChunk(first!, Uint8Array.of(0, 23, 24, 127, 128, 255));
    await consumer.completeChunk(second!, Uint8Array.of());
  }),
  object_storage_complete: play(async (scene) => {
    const consumer = scene.consumer();
    for (const chunk of await scene.reserve(consumer, 2))
      await consumer.completeChunk(chunk, cbor.encode([1]));
  }),
  fail_and_reserve_again: play(async (scene) => {
    const consumer = scene.consumer();
    for (const failure of ['first failure', 'second\nline é中']) {
      const [chunk] = await scene.reserve(consumer);
      await consumer.failChunk(chunk!, failure);
    }
    await scene.reserve(consumer);
  }),
  run_each_op_fails_for_good: play(async (scene) => {
    const consumer = scene.consumer();
    const running = consumer.runEachOp(
      () => {
        throw new Error('always');
      },
      { strategy: oldest, prefetch: 0 },
    );
    await eventually(() => scene.server.messages[0]?.length === 5);
    await consumer.close();
    await running.catch(() => {});
  }),
  reservation_expired: play(async (scene) => {
    const consumer = scene.consumer();
    await scene.reserve(consumer);
    scene.server.expire();
    await eventually(() => scene.server.messages[0]?.length === 2);
    await scene.reserve(consumer);
  }),
  complete_just_after_expiry_of_reservation: play(async (scene) => {
    const consumer = scene.consumer();
    const [chunk] = await scene.reserve(consumer);
    scene.server.expire();
    await eventually(() => scene.server.messages[0]?.length === 2);
    await consumer.completeChunk(chunk!, cbor.encode([1]));
  }),
  expired_message_after_completion: {
    run: async (scene) => {
      const consumer = scene.consumer();
      const [chunk] = await scene.reserve(consumer);
      await consumer.completeChunk(chunk!, cbor.encode([1]));
    },
    differs: { sends: ['reserve', 'complete'], reason: 'what is done cannot expire any more' },
  },
  heartbeats: play(async (scene) => {
    await scene.reserve(scene.consumer());
  }),
  server_stops_answering: play(async (scene) => {
    const consumer = scene.consumer();
    await scene.reserve(consumer);
    assert.equal(scene.server.messages.length, 2);
    assert.deepEqual(scene.server.messages[1], scene.server.messages[0]);
  }),
  ...Object.fromEntries(
    ['server_sigint', 'server_sigterm'].map((name) => [
      name,
      play(async (scene) => {
        const consumer = scene.consumer();
        const abort = new AbortController();
        const reserving = consumer.reserveChunks({
          max: 1,
          strategy: oldest,
          signal: abort.signal,
          raw: true,
        });
        reserving.catch(() => {});
        await eventually(() => scene.server.messages[0]?.length === 1);
        await eventually(() => !consumer.isHealthy());
        abort.abort();
        await assert.rejects(reserving);
      }),
    ]),
  ),
  held_reservation_not_woken_by_freed_chunks: play(async (scene) => {
    const first = scene.consumer();
    const second = scene.consumer();
    const [chunk] = await scene.reserve(first);
    const held = second.reserveChunks({ max: 1, strategy: oldest, raw: true });
    await eventually(() => scene.server.messages[1]?.length === 1);
    await first.failChunk(chunk!, 'given back');
    await scene.reserve(first);
    assert.equal((await held)[0]?.retries, 1);
  }),
  requester_disappeared: {
    run: async (scene) => {
      const consumer = scene.consumer();
      const [chunk] = await scene.reserve(consumer);
      await consumer.completeChunk(chunk!, cbor.encode([1]));
      scene.server.holdAnswers();
      const abort = new AbortController();
      const abandoned = consumer.reserveChunks({ max: 1, strategy: oldest, signal: abort.signal, raw: true });
      abandoned.catch(() => {});
      await eventually(() => scene.server.messages[0]?.length === 3);
      abort.abort();
      await assert.rejects(abandoned);
      await eventually(() => scene.server.closeCodes.length > 0);
      assert.deepEqual(scene.server.closeCodes, [1000]);
    },
    differs: {
      sends: ['reserve', 'complete', 'reserve'],
      reason: 'the abandoned request goes with its connection, so that no chunk counts a failure',
    },
  },
  cancel_while_reserved: play(async (scene) => {
    const consumer = scene.consumer();
    const [chunk] = await scene.reserve(consumer);
    await consumer.completeChunk(chunk!, cbor.encode([1]));
  }),
  max_zero: {
    run: async (scene) => {
      await assert.rejects(scene.consumer().reserveChunks({ max: 0, raw: true }), IncorrectUsageError);
    },
    differs: { sends: [], reason: 'wrong use is told at once, without asking the queue' },
  },
  prefer_distinct_counts_survive_a_disconnect: play(async (scene) => {
    const strategy = Strategy.preferDistinct('company_id', oldest);
    const first = scene.consumer();
    await scene.reserve(first, 1, strategy);
    await first.close();
    await scene.reserve(scene.consumer(), 1, strategy);
  }),
};

suite('our consumer against the recorded server', { concurrency: 4 }, () => {
  const sessions = goldenSessions('websocket.json').filter(({ client }) => client.startsWith('official'));
  for (const session of sessions) {
    const { run, differs } = PLAYS[session.name] ?? {};
    if (run === undefined) continue;
    test(`${session.name}: ${session.what}`, async () => {
      await using server = await RecordedServer.start(session);
      await using objects = await TempStore.create();
      await putInputs(session, objects);
      await using consumers = new AsyncDisposableStack();
      await run(sceneOf(session, server, objects, consumers));
      const recorded = recordedMessages(session);
      if (differs === undefined) {
        await eventually(() => (server.messages[0]?.length ?? 0) >= (recorded[0]?.length ?? 0));
        assert.deepEqual(server.messages.map(comparable), recorded.map(comparable));
      } else {
        await eventually(() => (server.messages[0]?.length ?? 0) >= differs.sends.length);
        assert.deepEqual(
          (server.messages[0] ?? []).map(({ kind }) => kind),
          differs.sends,
        );
      }
    });
  }

  test('every session of the Python consumer is repeated', () => {
    assert.deepEqual(Object.keys(PLAYS).sort(), sessions.map(({ name }) => name).sort());
  });
});

function play(run: Play['run']): Play {
  return { run };
}

function sceneOf(
  session: GoldenSession,
  server: RecordedServer,
  objects: TempStore,
  consumers: AsyncDisposableStack,
): Scene {
  const expected = reservedChunks(session);
  return {
    server,
    consumer() {
      const options = withParts({}, { startTransport: inlineTransport });
      const consumer = new ConsumerClient(server.url, objects.url, options);
      consumers.defer(() => consumer.close());
      return consumer;
    },
    async reserve(consumer, max = 1, strategy = oldest) {
      const chunks = await consumer.reserveChunks({ max, strategy, raw: true });
      for (const chunk of chunks) {
        const at = expected.findIndex(
          ({ chunk: { submissionId, chunkIndex }, retries }) =>
            String(submissionId) === chunk.submissionId &&
            chunkIndex === chunk.chunkIndex &&
            retries === chunk.retries,
        );
        assert.notEqual(at, -1);
        const [found] = expected.splice(at, 1);
        assert.equal(chunk.submissionPrefix, found?.submission.prefix);
        assert.deepEqual(chunk.submission, found && submissionInfoOf(found.submission));
        if (found?.inputContent != null) assert.deepEqual([...chunk.input], [...found.inputContent]);
      }
      return chunks;
    },
  };
}

async function putInputs(session: GoldenSession, objects: TempStore): Promise<void> {
  for (const { submission, chunk } of reservedChunks(session)) {
    if (submission.prefix !== null)
      await objects.putInput(submission.prefix, chunk.chunkIndex, cbor.encode(['x']));
  }
}

function reservedChunks(session: GoldenSession): ReservedChunkMessage[] {
  return session.messages.flatMap((message) => {
    if (message.kind !== 'frame' || message.opcode !== 'binary') return [];
    if (message.direction === 'client to server') return [];
    const decoded = decodeServerMessage(Buffer.from(message.payload_hex, 'hex'));
    return decoded.kind === 'reserved' ? decoded.chunks : [];
  });
}

/** By WebSocket, in the order in which they were made. */
function recordedMessages(session: GoldenSession): ClientMessage[][] {
  const byConnection = new Map<number, ClientMessage[]>();
  for (const message of session.messages) {
    if (message.kind === 'response' && message.status_line?.includes(' 101 '))
      byConnection.set(message.conn, []);
    if (message.kind !== 'frame' || message.opcode !== 'binary') continue;
    if (message.direction === 'server to client') continue;
    byConnection.get(message.conn)?.push(decodeClientMessage(Buffer.from(message.payload_hex, 'hex')));
  }
  return [...byConnection.values()];
}

/** Both languages' stack traces name the error and the places; their words are their own. */
function comparable(messages: readonly ClientMessage[]): readonly ClientMessage[] {
  return messages.map((message) =>
    message.kind === 'fail' && isStackTrace(message.failure)
      ? { ...message, failure: 'a stack trace' }
      : message,
  );
}

function isStackTrace(failure: string): boolean {
  const places = failure.match(/^ +(at|File) .+$/gm) ?? [];
  return places.length > 1 && /^(Caused by: )?\w*Error: (always|division by zero)$/m.test(failure);
}
