import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Encoder } from 'cbor-x';
import { ConsumerClient } from '../../src/consumer/client.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { cborChunkCodec } from '../../src/protocol/chunk/codec.ts';
import { decodeServerMessage, encodeServerMessage } from '../../src/protocol/consumer/codec.ts';
import { withParts } from '../../src/system/parts.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { inlineTransport } from '../support/fakes/inline-transport.ts';
import { TempStore } from '../support/objects/temp-store.ts';
import {
  type GoldenFrame,
  type GoldenMessage,
  type GoldenSession,
  goldenSessions,
} from '../support/protocol/golden.ts';
import { RecordedServer } from '../support/replay/recorded-server.ts';

// What the original's server does and ours does not: recorded sessions, changed where no recording shows the habit.

const cbor = cborChunkCodec();
const other = new Encoder({ useRecords: false, mapsAsObjects: false, tagUint8Array: false });

suite('habits of the original server', { concurrency: 4 }, () => {
  test('a reservation that is answered with an empty Ok is asked again', async () => {
    const session = named('websocket.json', 'held_reservation_answered_on_insert');
    const at = session.messages.findIndex(isAnswer);
    const asks = session.messages.find(
      (message) => message.kind === 'frame' && message.direction === 'client to server',
    );
    const held = session.messages[at];
    assert.ok(held !== undefined && isAnswer(held));
    const answer = decodeServerMessage(Buffer.from(held.payload_hex, 'hex'));
    assert.ok(asks && answer.kind === 'reserved');
    const messages = [
      ...session.messages.slice(0, at),
      withPayload(held, encodeServerMessage({ ...answer, chunks: [] })),
      asks,
      withPayload(held, encodeServerMessage({ ...answer, nonce: 1 })),
    ];
    await using server = await RecordedServer.start({ ...session, messages });
    await using objects = await TempStore.create();
    for (const { submission, chunk } of answer.chunks) {
      await objects.putInput(submission.prefix ?? '', chunk.chunkIndex, cbor.encode(['x']));
    }
    await using consumer = consumerOf(server, objects);
    const [chunk] = await consumer.reserveChunks({ max: 1, raw: true });
    assert.equal(chunk?.submissionId, String(answer.chunks[0]?.chunk.submissionId));
    assert.deepEqual(
      server.messages[0]?.map(({ kind, nonce }) => [kind, nonce]),
      [
        ['reserve', 0],
        ['reserve', 1],
      ],
    );
  });

  test('an insert whose answer was lost is looked up by its prefix before it is sent again', async () => {
    let inserts = 0;
    await using queue = await FakeQueue.start({
      features: [],
      onInsert: (_submission, self) => {
        inserts++;
        self.http.cutNext();
      },
    });
    await using objects = await TempStore.create();
    await using producer = new ProducerClient(queue.url, objects.url);
    const id = await producer.insertSubmission([1], { chunkSize: 1 });
    assert.equal(id, String(queue.only().record.id));
    assert.equal(inserts, 1);
    assert.ok(queue.http.seen.some(({ path }) => path.includes('/lookup_id_by_prefix/')));
  });

  test('a status is polled without asking for a long poll, which that server does not know', async () => {
    const session = named('http.json', 'wait_for_completion');
    await using server = await RecordedServer.start(session);
    await using objects = await TempStore.create();
    await objects.store.put('01a20a1c-c050-7eb2-adf7-101889dbefc6/0-out.bin', cbor.encode([2]));
    await using producer = new ProducerClient(server.url, objects.url);
    const id = await producer.insertSubmission([1], { chunkSize: 1 });
    assert.deepEqual(await Array.fromAsync(producer.submission(id).results()), [2]);
    const polls = server.requests.filter(({ line }) => line.startsWith('GET'));
    assert.ok(polls.length > 2);
    for (const { line } of polls) assert.doesNotMatch(line, /\?/);
  });

  test('a submission of an older version has no strategic metadata and no count of what is done', async () => {
    const session = named('http.json', 'status_in_progress');
    await using server = await RecordedServer.start({
      ...session,
      messages: session.messages.map((message) =>
        message.kind === 'response' ? { ...message, ...withoutNewFields(message.body ?? '') } : message,
      ),
    });
    await using producer = new ProducerClient(server.url, null);
    const status = await producer.submission(7530730148555915264n).details();
    assert.ok(status?.state === 'in_progress');
    assert.equal(status.chunksTotal, 3);
    assert.deepEqual(status.strategicMetadata, {});
    assert.equal(status.chunksDone, 0);
  });

  test('neither has the submission of a chunk that it hands out', async () => {
    const session = named('websocket.json', 'oldest_answered_at_once_client_dropped');
    let prefix = '';
    const messages = session.messages.map((message) => {
      if (!isAnswer(message)) return message;
      const bytes = Buffer.from(message.payload_hex, 'hex');
      const decoded = decodeServerMessage(bytes);
      assert.ok(decoded.kind === 'reserved');
      prefix = decoded.chunks[0]?.submission.prefix ?? '';
      const value = other.decode(bytes);
      for (const [, submission] of value.get('Sync').get('contents').get('ChunksReserved').get('Ok')) {
        for (const field of NEW_FIELDS) assert.ok(submission.delete(field));
      }
      return withPayload(message, other.encode(value));
    });
    await using server = await RecordedServer.start({ ...session, messages });
    await using objects = await TempStore.create();
    await objects.putInput(prefix, 0, cbor.encode(['x']));
    await using consumer = consumerOf(server, objects);
    const [chunk] = await consumer.reserveChunks({ max: 1, raw: true });
    assert.equal(chunk?.submissionPrefix, prefix);
    assert.deepEqual(chunk.submission.strategicMetadata, {});
  });
});

/** What versions before 0.40 did not tell of a submission. */
const NEW_FIELDS = ['strategic_metadata', 'chunks_done'];

function withoutNewFields(body: string) {
  const shorter = body.replace(/"strategic_metadata":\{[^}]*\},/, '').replace(/"chunks_done":\d+,/, '');
  assert.doesNotMatch(shorter, new RegExp(NEW_FIELDS.join('|')));
  const headers = [['content-type', 'application/json']] as const;
  return { body: shorter, headers };
}

function consumerOf(server: RecordedServer, objects: TempStore): ConsumerClient {
  return new ConsumerClient(server.url, objects.url, withParts({}, { startTransport: inlineTransport }));
}

function named(file: 'http.json' | 'websocket.json', name: string): GoldenSession {
  const found = goldenSessions(file).find((session) => session.name === name);
  assert.ok(found);
  return found;
}

function isAnswer(message: GoldenMessage): message is GoldenMessage & GoldenFrame {
  if (message.kind !== 'frame' || message.opcode !== 'binary') return false;
  if (message.direction === 'client to server') return false;
  return decodeServerMessage(Buffer.from(message.payload_hex, 'hex')).kind === 'reserved';
}

function withPayload<M extends GoldenFrame>(frame: M, payload: Uint8Array): M {
  return { ...frame, payload_hex: Buffer.from(payload).toString('hex') };
}
