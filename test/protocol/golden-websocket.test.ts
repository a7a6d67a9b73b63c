import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ProtocolError } from '../../src/model/errors.ts';
import { Strategy } from '../../src/model/strategy.ts';
import {
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
} from '../../src/protocol/consumer/codec.ts';
import type { ClientMessage, Nonce, ServerMessage } from '../../src/protocol/consumer/types.ts';
import { type GoldenFrame, type GoldenSession, goldenSessions } from '../support/protocol/golden.ts';

const sessions = goldenSessions('websocket.json');

/** Sessions in which a frame is refused. */
const REFUSED = /^(garbage|refused)_/;
/** The frames that are fine in those. */
const REFUSED_FOR_THEIR_FRAME = ['garbage_unmasked_frame', 'garbage_reserved_bit', 'garbage_text_frame'];

suite('recorded WebSocket messages', () => {
  test('every message of a client decodes to what was recorded', () => {
    let count = 0;
    for (const { session, payload, cbor } of binaryMessages('client to server')) {
      if (REFUSED.test(session.name)) continue;
      assert.deepEqual(decodeClientMessage(payload), clientMessage(cbor), session.name);
      count++;
    }
    assert.ok(count > 60, `${count} messages`);
  });

  test('every message of the server decodes to what was recorded', () => {
    let count = 0;
    for (const { session, payload, cbor } of binaryMessages('server to client')) {
      assert.deepEqual(decodeServerMessage(payload), serverMessage(cbor), session.name);
      count++;
    }
    assert.ok(count > 60, `${count} messages`);
  });

  test('our client writes the recorded bytes', () => {
    let count = 0;
    for (const { session, payload } of binaryMessages('client to server')) {
      // The others are variants that only a raw client sends.
      if (REFUSED.test(session.name) || session.name.startsWith('accepted_')) continue;
      if (session.name === 'output_content_as_byte_string') continue;
      const encoded = encodeClientMessage(decodeClientMessage(payload));
      assert.equal(Buffer.from(encoded).toString('hex'), payload.toString('hex'), session.name);
      count++;
    }
    assert.ok(count > 60, `${count} messages`);
  });

  test('our server writes the recorded bytes', () => {
    for (const { session, payload } of binaryMessages('server to client')) {
      const encoded = encodeServerMessage(decodeServerMessage(payload));
      assert.equal(Buffer.from(encoded).toString('hex'), payload.toString('hex'), session.name);
    }
  });

  test('byte strings are written as recorded, to a peer that reads them', () => {
    const frames = [...binaryMessages('client to server')].filter(
      ({ session }) => session.name === 'output_content_as_byte_string',
    );
    assert.equal(frames.length, 2);
    for (const { payload } of frames) {
      const encoded = encodeClientMessage(decodeClientMessage(payload), { byteStrings: true });
      assert.equal(Buffer.from(encoded).toString('hex'), payload.toString('hex'));
    }
  });

  test('every message that the reference refuses is refused', () => {
    const names = new Set<string>();
    for (const { session, payload } of binaryMessages('client to server')) {
      if (!REFUSED.test(session.name)) continue;
      assert.throws(() => decodeClientMessage(payload), ProtocolError, session.name);
      names.add(session.name);
    }
    const expected = sessions.map(({ name }) => name).filter((name) => REFUSED.test(name));
    assert.deepEqual([...names].sort(), expected.filter((name) => name !== 'garbage_text_frame').sort());
    assert.ok(REFUSED_FOR_THEIR_FRAME.every((name) => expected.includes(name)));
  });
});

interface RecordedMessage {
  readonly session: GoldenSession;
  readonly payload: Buffer;
  readonly cbor: unknown;
}

/** The binary messages of one direction, fragments put together. */
function* binaryMessages(direction: GoldenFrame['direction']): Generator<RecordedMessage> {
  for (const session of sessions) {
    let payload = '';
    for (const message of session.messages) {
      if (message.kind !== 'frame' || message.direction !== direction) continue;
      if (message.opcode !== 'binary' && message.opcode !== 'continuation') continue;
      payload += message.payload_hex;
      if (!message.fin) continue;
      yield { session, payload: Buffer.from(payload, 'hex'), cbor: message.cbor ?? null };
      payload = '';
    }
  }
}

// From here on: the recording's own decoding, turned into our types without our codec.

/** A recorded value of any shape. */
interface Recorded {
  readonly [key: string]: Recorded;
}

function clientMessage(cbor: unknown): ClientMessage {
  // Of these two the recording shows no plain value: a tag in front, and two fragments.
  if (cbor === null || typeof cbor === 'string') {
    return {
      kind: 'reserve',
      nonce: typeof cbor === 'string' ? 1 : 5,
      max: 1,
      strategy: Strategy.oldest(),
    };
  }
  const message = cbor as Recorded;
  const nonce = nonceOf(message.nonce);
  const contents = message.contents!;
  if (contents.WantToReserveChunks !== undefined) {
    const { max, strategy } = contents.WantToReserveChunks;
    return { kind: 'reserve', nonce, max: clamped(max), strategy: strategyOf(strategy) };
  }
  if (contents.CompleteChunk !== undefined) {
    const { id, output_content } = contents.CompleteChunk;
    return { kind: 'complete', nonce, chunk: chunkOf(id), outputContent: bytesOf(output_content) };
  }
  const { id, failure } = contents.FailChunk!;
  return { kind: 'fail', nonce, chunk: chunkOf(id), failure: textOf(failure), retryable: true, delayMs: 0 };
}

function serverMessage(cbor: unknown): ServerMessage {
  const message = cbor as Recorded;
  if (message.Init !== undefined) {
    const init = message.Init;
    const { secs, nanos } = init.heartbeat_interval!;
    return {
      kind: 'init',
      missableHeartbeatsMax: Number(init.max_missable_heartbeats),
      heartbeatIntervalMs: Number(secs) * 1000 + Number(nanos) / 1e6,
      versionInfo: textOf(init.version_info),
      connId: textOf(init.conn_id),
      features: [],
    };
  }
  if (message.Async !== undefined) {
    return { kind: 'expired', chunk: chunkOf(message.Async.ChunkReservationExpired) };
  }
  const sync = message.Sync!;
  const nonce = nonceOf(sync.nonce);
  const result = sync.contents!.ChunksReserved!;
  if (result.Err !== undefined) return { kind: 'reserve_refused', nonce, reason: null };
  const pairs = result.Ok as unknown as readonly (readonly [Recorded, Recorded])[];
  const chunks = pairs.map(([chunk, submission]) => ({
    chunk: chunkOf(chunk),
    inputContent: bytesOf(chunk.input_content),
    retries: Number(chunk.retries),
    submission: {
      id: BigInt(textOf(submission.id)),
      prefix: submission.prefix === null ? null : textOf(submission.prefix),
      chunksTotal: Number(submission.chunks_total),
      chunkSizeOps: Number(submission.chunk_size),
      metadata: bytesOf(submission.metadata),
      strategicMetadata: new Map(
        Object.entries(submission.strategic_metadata!).map(([key, value]) => [key, BigInt(textOf(value))]),
      ),
      otelTraceCarrier: textOf(submission.otel_trace_carrier),
      retryDelayMs: 0,
      retry: null,
      failureMode: 'fail' as const,
    },
    chunksDone: Number(submission.chunks_done),
  }));
  return { kind: 'reserved', nonce, chunks };
}

function nonceOf(value: unknown): Nonce {
  return typeof value === 'string' ? BigInt(value) : Number(value);
}

function clamped(value: unknown): number {
  return Math.min(Number(value), Number.MAX_SAFE_INTEGER);
}

function textOf(value: unknown): string {
  return String(value);
}

function chunkOf(value: Recorded | undefined) {
  return { submissionId: BigInt(textOf(value?.submission_id)), chunkIndex: Number(value?.chunk_index) };
}

function bytesOf(value: unknown): Uint8Array | null {
  if (value === null) return null;
  if (Array.isArray(value)) return Uint8Array.from(value as number[]);
  return new Uint8Array(Buffer.from((value as { $bytes: string }).$bytes, 'hex'));
}

function strategyOf(value: unknown): Strategy {
  if (typeof value === 'string' || (value as Recorded).PreferDistinct === undefined) {
    const name = typeof value === 'string' ? value : Object.keys(value as Recorded)[0];
    assert.ok(name === 'Oldest' || name === 'Newest' || name === 'Random');
    return { Oldest: Strategy.oldest(), Newest: Strategy.newest(), Random: Strategy.random() }[name];
  }
  const { meta_key, underlying } = (value as Recorded).PreferDistinct!;
  return Strategy.preferDistinct(textOf(meta_key), strategyOf(underlying));
}
