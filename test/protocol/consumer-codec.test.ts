import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Encoder } from 'cbor-x';
import fc from 'fast-check';
import { ProtocolError } from '../../src/model/errors.ts';
import { SUBMISSION_ID_MAX } from '../../src/model/ids.ts';
import { META_KEY_BYTES_MAX, STRATEGY_DEPTH_MAX } from '../../src/model/limits.ts';
import { Strategy } from '../../src/model/strategy.ts';
import {
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeReserved,
  encodeServerMessage,
  prepareSubmission,
  reservedItemSizeMax,
  StrategyRefusedError,
} from '../../src/protocol/consumer/codec.ts';
import {
  clientMessages,
  reservedMessages,
  serverMessages,
} from '../support/protocol/protocol-arbitraries.ts';
import { plainClientMessage, plainServerMessage } from '../support/protocol/protocol-plain.ts';

/** An independent writer and reader. Its integers beyond 2^32 are bigints, its maps Maps. */
const other = new Encoder({ useRecords: false, mapsAsObjects: false, tagUint8Array: false });

suite('messages of the consumer protocol', () => {
  test('a message of a client comes back as it was, in both forms of bytes', () => {
    fc.assert(
      fc.property(clientMessages(), fc.boolean(), (message, byteStrings) => {
        assert.deepEqual(decodeClientMessage(encodeClientMessage(message, { byteStrings })), message);
      }),
      { numRuns: 500 },
    );
  });

  test('a message of a server comes back as it was, in both forms of bytes', () => {
    fc.assert(
      fc.property(serverMessages(), fc.boolean(), (message, byteStrings) => {
        assert.deepEqual(decodeServerMessage(encodeServerMessage(message, { byteStrings })), message);
      }),
      { numRuns: 500 },
    );
  });

  test('an independent reader finds the documented shapes in what we write', () => {
    fc.assert(
      fc.property(clientMessages(), (message) => {
        assert.deepEqual(other.decode(encodeClientMessage(message)), comparable(plainClientMessage(message)));
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(serverMessages(), (message) => {
        assert.deepEqual(other.decode(encodeServerMessage(message)), comparable(plainServerMessage(message)));
      }),
      { numRuns: 300 },
    );
  });

  test('what an independent writer writes is read, with its fields in any order and unknown ones between', () => {
    fc.assert(
      fc.property(clientMessages(), fc.infiniteStream(fc.nat()), (message, random) => {
        const bytes = other.encode(disordered(plainClientMessage(message), random));
        assert.deepEqual(decodeClientMessage(bytes), message);
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(serverMessages(), fc.infiniteStream(fc.nat()), (message, random) => {
        const bytes = other.encode(disordered(plainServerMessage(message), random));
        assert.deepEqual(decodeServerMessage(bytes), message);
      }),
      { numRuns: 300 },
    );
  });

  test('every message is refused when it is cut anywhere', () => {
    fc.assert(
      fc.property(clientMessages(), serverMessages(), (clientMessage, serverMessage) => {
        const fromClient = encodeClientMessage(clientMessage);
        for (let end = 0; end < fromClient.length; end++) {
          assert.throws(() => decodeClientMessage(fromClient.subarray(0, end)), ProtocolError);
        }
        const fromServer = encodeServerMessage(serverMessage);
        for (let end = 0; end < fromServer.length; end++) {
          assert.throws(() => decodeServerMessage(fromServer.subarray(0, end)), ProtocolError);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('damaged messages and random bytes are decoded or refused, and nothing else', () => {
    const change = fc.record({ at: fc.nat(), byte: fc.nat(255) });
    fc.assert(
      fc.property(
        clientMessages(),
        serverMessages(),
        fc.array(change, { minLength: 1, maxLength: 3 }),
        (c, s, changes) => {
          assertDecodedOrRefused(() => decodeClientMessage(damaged(encodeClientMessage(c), changes)));
          assertDecodedOrRefused(() => decodeServerMessage(damaged(encodeServerMessage(s), changes)));
        },
      ),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        assertDecodedOrRefused(() => decodeClientMessage(bytes));
        assertDecodedOrRefused(() => decodeServerMessage(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  test('an answer from prepared submissions is the same, and never larger than told', () => {
    fc.assert(
      fc.property(reservedMessages(), fc.boolean(), (message, byteStrings) => {
        const items = message.chunks.map((item) => ({
          submission: prepareSubmission(item.submission),
          chunksDone: item.chunksDone,
          chunkIndex: item.chunk.chunkIndex,
          retries: item.retries,
          inputContent: item.inputContent,
        }));
        const encoded = encodeReserved(message.nonce, items, { byteStrings });
        assert.deepEqual(encoded, encodeServerMessage(message, { byteStrings }));
        const empty = encodeReserved(message.nonce, []).length + 8;
        const sizes = items.map((item) =>
          reservedItemSizeMax(item.submission, item.inputContent, { byteStrings }),
        );
        assert.ok(encoded.length <= empty + sizes.reduce((sum, size) => sum + size, 0));
      }),
      { numRuns: 200 },
    );
  });
});

suite('extremes of the consumer protocol', () => {
  test('an empty output and one of 16 MB come through in both forms', () => {
    const large = new Uint8Array(16 * 1024 * 1024);
    for (let i = 0; i < large.length; i++) large[i] = (i * 31) >>> 3;
    const chunk = { submissionId: SUBMISSION_ID_MAX, chunkIndex: 2 ** 32 - 1 };
    const variants = [large, new Uint8Array(0)].flatMap((outputContent) =>
      [false, true].map((byteStrings) => ({ outputContent, byteStrings })),
    );
    for (const { outputContent, byteStrings } of variants) {
      const message = { kind: 'complete', nonce: 2n ** 64n - 1n, chunk, outputContent } as const;
      const decoded = decodeClientMessage(encodeClientMessage(message, { byteStrings }));
      assert.ok(decoded.kind === 'complete' && decoded.outputContent !== null);
      assert.equal(Buffer.compare(decoded.outputContent, outputContent), 0);
    }
  });

  test('a strategy is taken up to the limits of depth and key, and refused by name beyond', () => {
    const nested = (depth: number) => {
      let strategy = Strategy.random();
      for (let i = 1; i < depth; i++) strategy = around(`key${i}`, strategy);
      return strategy;
    };
    // Our builder refuses what the queue would.
    const around = (metaKey: string, underlying: Strategy): Strategy => ({
      kind: 'prefer_distinct',
      metaKey,
      underlying,
    });
    const reserve = (strategy: Strategy) =>
      encodeClientMessage({ kind: 'reserve', nonce: 7, max: 1, strategy });
    const deepest = nested(STRATEGY_DEPTH_MAX + 1);
    const decoded = decodeClientMessage(reserve(deepest));
    assert.ok(decoded.kind === 'reserve');
    assert.deepEqual(decoded.strategy, deepest);
    assertRefusedStrategy(reserve(nested(STRATEGY_DEPTH_MAX + 2)), /deeper than 16/);
    const longKey = 'é'.repeat(META_KEY_BYTES_MAX / 2);
    assert.equal(decodeClientMessage(reserve(Strategy.preferDistinct(longKey))).nonce, 7);
    assertRefusedStrategy(reserve(around(`${longKey}x`, Strategy.random())), /more than 256 bytes/);
    const select = (count: number): Strategy => ({
      kind: 'select_only',
      metaKey: 'key',
      values: Array.from({ length: count }, (_, i) => BigInt(i) - 100n),
      underlying: Strategy.oldest(),
    });
    assert.equal(decodeClientMessage(reserve(select(256))).nonce, 7);
    for (const count of [0, 257, 5_000]) assertRefusedStrategy(reserve(select(count)), /1 to 256 values/);
    const limit: Strategy = {
      kind: 'max_simultaneous',
      metaKey: 'key',
      max: 0,
      underlying: Strategy.random(),
    };
    assertRefusedStrategy(reserve(limit), /max of MaxSimultaneous is 0/);
    const tree = (depth: number): Strategy =>
      depth === 0
        ? Strategy.oldest()
        : { kind: 'or_else', first: tree(depth - 1), fallback: tree(depth - 1) };
    assert.equal(decodeClientMessage(reserve(tree(4))).nonce, 7);
    assertRefusedStrategy(reserve(tree(5)), /more than 32 parts/);
    // So deep that it is no strategy any more.
    assert.throws(() => decodeClientMessage(reserve(nested(1000))), ProtocolError);
  });

  test('a number beyond what its field takes is clamped, or refused with its value', () => {
    const reserve = (max: bigint, nonce: bigint) =>
      other.encode({ nonce, contents: { WantToReserveChunks: { max, strategy: 'Oldest' } } });
    assert.deepEqual(decodeClientMessage(reserve(2n ** 64n - 1n, 2n ** 64n - 1n)), {
      kind: 'reserve',
      nonce: 2n ** 64n - 1n,
      max: Number.MAX_SAFE_INTEGER,
      strategy: Strategy.oldest(),
    });
    const complete = (id: bigint, index: bigint) =>
      other.encode({
        nonce: 0,
        contents: { CompleteChunk: { id: { submission_id: id, chunk_index: index }, output_content: null } },
      });
    assert.throws(() => decodeClientMessage(complete(2n ** 63n, 0n)), /9223372036854775808/);
    const decoded = decodeClientMessage(complete(SUBMISSION_ID_MAX, 2n ** 63n - 1n));
    assert.deepEqual(decoded.kind === 'complete' && decoded.chunk, {
      submissionId: SUBMISSION_ID_MAX,
      chunkIndex: Number.MAX_SAFE_INTEGER,
    });
  });

  test('a field that comes twice is refused, as by the reference', () => {
    for (const hex of [
      // nonce; max; id
      `a3${text('nonce')}00${text('contents')}a1${text('WantToReserveChunks')}a2${text('max')}01${text('strategy')}${text('Oldest')}${text('nonce')}01`,
      `a2${text('nonce')}00${text('contents')}a1${text('WantToReserveChunks')}a3${text('max')}01${text('max')}01${text('strategy')}${text('Oldest')}`,
      `a2${text('nonce')}00${text('contents')}a1${text('CompleteChunk')}a2${text('id')}a3${text('submission_id')}01${text('submission_id')}01${text('chunk_index')}00${text('output_content')}f6`,
    ]) {
      assert.throws(() => decodeClientMessage(Buffer.from(hex, 'hex')), /twice/);
    }
  });

  test('of equal keys of strategic metadata the last one counts, as in JSON', () => {
    const twice = `a2${text('k')}01${text('k')}3b7fffffffffffffff`;
    const submission = `a3${text('id')}05${text('chunks_total')}01${text('strategic_metadata')}${twice}`;
    const chunk = `a2${text('submission_id')}05${text('chunk_index')}00`;
    const contents = `a1${text('ChunksReserved')}a1${text('Ok')}8182${chunk}${submission}`;
    const bytes = Buffer.from(`a1${text('Sync')}a2${text('nonce')}00${text('contents')}${contents}`, 'hex');
    const decoded = decodeServerMessage(bytes);
    assert.ok(decoded.kind === 'reserved');
    assert.deepEqual(decoded.chunks[0]?.submission.strategicMetadata, new Map([['k', -(2n ** 63n)]]));
  });

  test('an error names the field and what was found there', () => {
    const complete = (id: unknown, outputContent: unknown) =>
      other.encode({ nonce: 0, contents: { CompleteChunk: { id, output_content: outputContent } } });
    const id = { submission_id: 1, chunk_index: 0 };
    for (const [bytes, field, message] of [
      [complete(id, [1, 256]), 'contents.CompleteChunk.output_content', /256/],
      [complete(id, 'text'), 'contents.CompleteChunk.output_content', /a text/],
      [complete({ submission_id: 1 }, null), 'contents.CompleteChunk.id', /chunk_index is missing/],
      [other.encode({ contents: { Nope: {} }, nonce: 0 }), 'contents', /unknown "Nope"/],
      [other.encode({ nonce: 'x', contents: { CancelReserve: { nonce: 1 } } }), 'nonce', /a text/],
      [other.encode(5), 'message', /an unsigned integer, a map was expected/],
    ] as const) {
      assert.throws(
        () => decodeClientMessage(bytes),
        (error) => {
          assert.ok(error instanceof ProtocolError);
          assert.equal(error.field, field);
          assert.match(error.message, message);
          return true;
        },
      );
    }
  });

  test('a claimed length allocates nothing, nesting overflows nothing', () => {
    const output = (value: string) =>
      Buffer.from(
        `a2${text('nonce')}00${text('contents')}a1${text('CompleteChunk')}a1${text('output_content')}${value}`,
        'hex',
      );
    for (const value of [
      '9affffffff',
      '9b7fffffffffffffff',
      '5affffffff',
      '5bffffffffffffffff',
      '9bffffffffffffffff',
    ]) {
      assert.throws(() => decodeClientMessage(output(value)), /cut short/, value);
    }
    for (const byte of [0x81, 0x9f, 0xa1, 0xbf, 0xc1, 0xd8]) {
      const nested = Buffer.concat([Buffer.from(`a1${text('extra')}`, 'hex'), Buffer.alloc(2_000_000, byte)]);
      assert.throws(() => decodeClientMessage(nested), ProtocolError);
      assert.throws(() => decodeServerMessage(nested), ProtocolError);
    }
  });

  test('strings in pieces, tags and open lengths are read wherever they stand', () => {
    const hex = `d9d9f7bf${text('nonce')}c2181a${text('contents')}a1${text('FailChunk')}bf${text('failure')}7f${text('ab')}${text('cd')}ff${text('id')}bf${text('chunk_index')}1a00000001${text('extra')}9f5f4101ffbf01f97e00ffff${text('submission_id')}1903e8ffffff`;
    assert.deepEqual(decodeClientMessage(Buffer.from(hex, 'hex')), {
      kind: 'fail',
      nonce: 26,
      chunk: { submissionId: 1000n, chunkIndex: 1 },
      failure: 'abcd',
      retryable: true,
      delayMs: 0,
    });
  });
});

suite('servers of other versions', () => {
  test('fields that older ones leave out have their defaults', () => {
    const submission = { id: 5n, prefix: 'p', chunks_total: 3, metadata: null };
    const chunk = { submission_id: 5n, chunk_index: 1, input_content: null, retries: 0 };
    const answer = { Sync: { nonce: 0, contents: { ChunksReserved: { Ok: [[chunk, submission]] } } } };
    const decoded = decodeServerMessage(other.encode(answer));
    assert.deepEqual(decoded.kind === 'reserved' && decoded.chunks[0], {
      chunk: { submissionId: 5n, chunkIndex: 1 },
      inputContent: null,
      retries: 0,
      submission: {
        id: 5n,
        prefix: 'p',
        chunksTotal: 3,
        chunkSizeOps: 1,
        metadata: null,
        strategicMetadata: new Map(),
        otelTraceCarrier: '{}',
        retryDelayMs: 0,
        retry: null,
        failureMode: 'fail',
      },
      chunksDone: 0,
    });
  });

  test('a chunk size of 0 or below, which the reference takes from producers, is read as 1', () => {
    for (const size of [0, -3]) {
      const submission = { id: 5n, prefix: 'p', chunks_total: 3, chunk_size: size };
      const chunk = { submission_id: 5n, chunk_index: 1, input_content: null, retries: 0 };
      const answer = { Sync: { nonce: 0, contents: { ChunksReserved: { Ok: [[chunk, submission]] } } } };
      const decoded = decodeServerMessage(other.encode(answer));
      assert.equal(decoded.kind === 'reserved' && decoded.chunks[0]?.submission.chunkSizeOps, 1);
    }
  });
});

function assertDecodedOrRefused(decode: () => unknown): void {
  try {
    assert.equal(typeof decode(), 'object');
  } catch (error) {
    assert.ok(error instanceof ProtocolError || error instanceof StrategyRefusedError, String(error));
  }
}

function assertRefusedStrategy(bytes: Uint8Array, message: RegExp): void {
  assert.throws(
    () => decodeClientMessage(bytes),
    (error) => {
      assert.ok(error instanceof StrategyRefusedError);
      assert.equal(error.nonce, 7);
      assert.match(error.message, message);
      return true;
    },
  );
}

function damaged(bytes: Uint8Array, changes: readonly { at: number; byte: number }[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (const { at, byte } of changes) copy[at % copy.length] = byte;
  return copy;
}

/** As the independent reader gives it: objects as Maps, integers of 64 bits as bigints. */
function comparable(value: unknown): unknown {
  if (typeof value === 'number') return value > 0xffff_ffff || value < -0x1_0000_0000 ? BigInt(value) : value;
  if (typeof value === 'bigint')
    return value <= 0xffff_ffffn && value >= -0x1_0000_0000n ? Number(value) : value;
  if (Array.isArray(value)) return value.map(comparable);
  if (value instanceof Map) return new Map([...value].map(([key, inner]) => [key, comparable(inner)]));
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([key, inner]) => [key, comparable(inner)]));
}

/** The same with the fields of every struct in another order, and unknown ones between them. */
function disordered(value: unknown, random: Iterator<number>): unknown {
  if (typeof value === 'number') return value > 0xffff_ffff ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map((inner) => disordered(inner, random));
  // The metadata of a user, in which every key counts.
  if (value instanceof Map || typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([key, inner]) => [key, disordered(inner, random)] as const);
  // An enum is a map of exactly one entry.
  if (fields.length === 1 && /^[A-Z]/.test(fields[0]![0])) return new Map(fields);
  const nextBelow = (bound: number) => (random.next().value as number) % bound;
  for (let i = fields.length - 1; i > 0; i--) {
    const j = nextBelow(i + 1);
    [fields[i], fields[j]] = [fields[j]!, fields[i]!];
  }
  if (nextBelow(2) === 0) fields.splice(nextBelow(fields.length + 1), 0, ['unknown', { a: [1, 'b', -3.5] }]);
  return new Map<string, unknown>(fields);
}

function text(value: string): string {
  const bytes = Buffer.from(value);
  assert.ok(bytes.length < 24);
  return Buffer.concat([Buffer.from([0x60 + bytes.length]), bytes]).toString('hex');
}
