import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ChunkContext,
  ConsumerClient,
  type ConsumerClientOptions,
  IncorrectUsageError,
  Strategy,
} from '../../../src/consumer/index.ts';
import { submissionInfoOf } from '../../../src/model/submission.ts';
import {
  compressChunk,
  decompressChunk,
  isCompressedChunk,
} from '../../../src/protocol/chunk/compression.ts';
import { fakeChunk, fakeSubmission } from '../../support/fakes/fake-queue.ts';
import { cbor, quietly, Scene } from '../../support/peers/consumer-scene.ts';

const text = new TextEncoder();

test('a synchronous callback gets each operation, and the results are where the producer looks for them', async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const over = scene.consumer.runEachOp((op: string) => op.toUpperCase());
  const connection = await scene.serve(await scene.chunk(3, ['a', 'b', 'c']));
  const complete = await connection.until('complete');
  assert.deepEqual(complete.chunk, { submissionId: scene.submission.id, chunkIndex: 3 });
  assert.equal(complete.outputContent, null);
  assert.deepEqual(await scene.results(3), ['A', 'B', 'C']);
  await scene.consumer.stop();
  await over;
});

test('an asynchronous callback works on one operation of a chunk after the other', async () => {
  await using scene = await Scene.open();
  const seen: string[] = [];
  const over = scene.consumer.runEachOp(async (op: number) => {
    seen.push(`begin ${op}`);
    await null;
    seen.push(`end ${op}`);
    return op * 2;
  });
  const connection = await scene.serve(await scene.chunk(0, [1, 2]));
  await connection.until('complete');
  assert.deepEqual(await scene.results(0), [2, 4]);
  assert.deepEqual(seen, ['begin 1', 'end 1', 'begin 2', 'end 2']);
  await scene.consumer.stop();
  await over;
});

test('a callback may answer some operations at once and others later', async () => {
  await using scene = await Scene.open();
  void quietly(scene.consumer.runEachOp((op: number) => (op % 2 === 0 ? op : Promise.resolve(-op))));
  const connection = await scene.serve(await scene.chunk(0, [0, 1, 2, 3]));
  await connection.until('complete');
  assert.deepEqual(await scene.results(0), [0, -1, 2, -3]);
});

test('runEachChunk gets all operations of a chunk and may answer any iterable of as many', async () => {
  await using scene = await Scene.open();
  void quietly(scene.consumer.runEachChunk((ops: string[]) => new Set(ops.reverse())));
  const connection = await scene.serve(await scene.chunk(0, ['x', 'y']));
  await connection.until('complete');
  assert.deepEqual(await scene.results(0), ['y', 'x']);
});

test('runEachChunkRaw gets and answers bytes', async () => {
  await using scene = await Scene.open();
  void quietly(scene.consumer.runEachChunkRaw((input) => Uint8Array.of(...input, 9)));
  await scene.objects.putInput(scene.submission.prefix ?? '', 5, Uint8Array.of(1, 2));
  const connection = await scene.serve(fakeChunk(scene.submission, 5));
  await connection.until('complete');
  assert.deepEqual([...(await scene.objects.readOutput(scene.submission.prefix ?? '', 5))], [1, 2, 9]);
});

test('the bodies of a Direct submission come and go with the messages', async () => {
  await using scene = await Scene.open();
  void quietly(scene.consumer.runEachOp((op: number) => op + 1));
  const direct = fakeSubmission({ prefix: null });
  const connection = await scene.serve(fakeChunk(direct, 0, { inputContent: cbor.encode([1, 2]) }));
  const { outputContent } = await connection.until('complete');
  assert.deepEqual(cbor.decode(outputContent ?? new Uint8Array()), [2, 3]);
});

test('JSON and codecs of the user', async () => {
  const lines = {
    encode: (ops: readonly unknown[]) => text.encode(ops.join('\n')),
    decode: (content: Uint8Array) => Buffer.from(content).toString().split('\n'),
  };
  const cases = [
    { codec: 'json' as const, input: '["a","b"]', output: '["A","B"]' },
    { codec: lines, input: 'a\nb', output: 'A\nB' },
  ];
  for (const { codec, input, output } of cases) {
    await using scene = await Scene.open();
    void quietly(scene.consumer.runEachOp((op: string) => op.toUpperCase(), { codec }));
    await scene.objects.putInput(scene.submission.prefix ?? '', 0, text.encode(input));
    const connection = await scene.serve(fakeChunk(scene.submission, 0));
    await connection.until('complete');
    assert.equal(
      Buffer.from(await scene.objects.readOutput(scene.submission.prefix ?? '', 0)).toString(),
      output,
    );
  }
});

test('compressed inputs need no setting; results are compressed on request', async () => {
  await using scene = await Scene.open();
  void quietly(scene.consumer.runEachOp((op: string) => op, { compression: 'zstd' }));
  const prefix = scene.submission.prefix ?? '';
  await scene.objects.putInput(prefix, 0, await compressChunk(cbor.encode(['same'])));
  const connection = await scene.serve(fakeChunk(scene.submission, 0));
  await connection.until('complete');
  const output = await scene.objects.readOutput(prefix, 0);
  assert.ok(isCompressedChunk(output));
  assert.deepEqual(cbor.decode(await decompressChunk(output)), ['same']);
});

test('the context of the callback describes the chunk', async () => {
  await using scene = await Scene.open();
  const contexts: ChunkContext[] = [];
  void quietly(
    scene.consumer.runEachOp((_, context) => {
      contexts.push(context);
      return null;
    }),
  );
  const submission = fakeSubmission({
    metadata: Uint8Array.of(1),
    strategicMetadata: new Map([['company', 7n]]),
  });
  await scene.objects.putInput(submission.prefix ?? '', 8, cbor.encode([0]));
  const connection = await scene.serve(fakeChunk(submission, 8, { retries: 2 }));
  await connection.until('complete');
  const context = contexts[0];
  assert.ok(context);
  assert.deepEqual(context.submission, submissionInfoOf(submission));
  const id = String(submission.id);
  assert.deepEqual([context.submissionId, context.chunkIndex, context.retries], [id, 8, 2]);
  assert.equal(context.signal.aborted, false);
});

test('the strategy and the concurrency are told to the queue', async () => {
  await using scene = await Scene.open();
  const strategy = Strategy.preferDistinct('company', Strategy.newest());
  void quietly(scene.consumer.runEachOp((op) => op, { strategy, concurrency: 7, prefetch: 2 }));
  const connection = await scene.queue.connection();
  const reserve = await connection.next('reserve');
  assert.deepEqual([reserve.strategy, reserve.max], [strategy, 9]);
  assert.equal(connection.headers['opsqueue-concurrency'], '7');
  assert.match(String(connection.headers['opsqueue-features']), /release,cancel_reserve,dropped/);
});

test('a strategy is sent to the queue as plain data, and one with anything else in its object is refused', async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const strategy = Strategy.preferDistinct('k', Strategy.oldest());
  const mine = Object.assign({ toString: () => 'mine' }, strategy);
  await assert.rejects(
    scene.consumer.runEachOp((op) => op, { strategy: mine }),
    /unknown field "toString"/,
  );
  // Of a class, and with what it inherits.
  class Mine {
    readonly kind = 'prefer_distinct';
    readonly metaKey = 'k';
    readonly underlying = strategy.kind === 'prefer_distinct' ? strategy.underlying : strategy;
    toString() {
      return 'mine';
    }
  }
  void quietly(scene.consumer.runEachOp((op) => op, { strategy: new Mine() }));
  const connection = await scene.queue.connection();
  const plain = { kind: 'prefer_distinct', metaKey: 'k', underlying: { kind: 'oldest' } };
  assert.deepEqual((await connection.next('reserve')).strategy, plain);
});

test('a client with an object store or an option that makes no sense is refused', () => {
  const wrong: [RegExp, unknown, object?][] = [
    [/object store must be a URL, an ObjectStore or null, got undefined/, undefined],
    [/object store must be .* 5/, 5],
    [/object store must be .* Object/, {}],
    [/option credentials must be .* a function/, 's3://b/x', { credentials: () => 1 }],
    [/objectStoreOptions must be an object/, 's3://b/x', 5 as unknown as object],
  ];
  for (const [message, store, objectStoreOptions] of wrong) {
    const options = { objectStoreOptions } as ConsumerClientOptions;
    assert.throws(
      () => new ConsumerClient('127.0.0.1:1', store as string, options),
      (error) => error instanceof IncorrectUsageError && message.test(error.message),
    );
  }
});

function chunkOf(submissionId: bigint, chunkIndex = 0) {
  return { submissionId, submissionPrefix: null, chunkIndex };
}

function selfContained(): Strategy {
  const strategy = { kind: 'prefer_distinct' as const, metaKey: 'x', underlying: Strategy.random() };
  return Object.assign(strategy, { underlying: strategy });
}

test('incorrect use is reported at once, naming what is wrong', async () => {
  await using scene = await Scene.open();
  const { consumer } = scene;
  const echo = (op: unknown) => op;
  const wrong: [RegExp, () => Promise<unknown>][] = [
    [/concurrency must be an integer from 1/, () => consumer.runEachOp(echo, { concurrency: 0 })],
    [/prefetch must be an integer from 0/, () => consumer.runEachOp(echo, { prefetch: -1 })],
    [/memoryBytesMax .* 1.5/, () => consumer.runEachOp(echo, { memoryBytesMax: 1.5 })],
    [/codec must be 'cbor', 'json'/, () => consumer.runEachOp(echo, { codec: 'xml' as 'json' })],
    [/onOpError must be/, () => consumer.runEachOp(echo, { onOpError: 'ignore' as 'record' })],
    [/compression must be 'zstd'/, () => consumer.runEachOp(echo, { compression: 'gzip' as 'zstd' })],
    [/callback must be a function/, () => consumer.runEachChunkRaw(5 as unknown as () => Uint8Array)],
    [/max must be an integer from 1 to 1000/, () => consumer.reserveChunks({ max: 0, raw: true })],
    [
      /strategy must be/,
      () => consumer.reserveChunks({ max: 1, strategy: 'oldest' as unknown as Strategy, raw: true }),
    ],
    [
      /strategy .* kind "bogus"/,
      () => consumer.reserveChunks({ max: 1, strategy: { kind: 'bogus' } as unknown as Strategy, raw: true }),
    ],
    [/metaKey .* 5/, () => consumer.runEachOp(echo, { strategy: { kind: 'priority', metaKey: 5 } as never })],
    [/nests deeper than 16/, () => consumer.reserveChunks({ max: 1, strategy: selfContained(), raw: true })],
    [/submissionId must be .* -1n/, () => consumer.completeChunk(chunkOf(-1n), new Uint8Array())],
    [/submissionId must be/, () => consumer.failChunk(chunkOf(1n << 63n), 'x')],
    [/chunkIndex must be .* 4294967296/, () => consumer.releaseChunk(chunkOf(1n, 2 ** 32))],
    [/must be a ChunkReference/, () => consumer.completeChunk(null as never, new Uint8Array())],
    [/retryable must be a boolean/, () => consumer.failChunk(chunkOf(1n), 'x', { retryable: 'x' as never })],
    [/module must be a URL/, () => consumer.runEachOp('./work.js')],
    [
      /signal must be an AbortSignal/,
      () => consumer.runEachOp(echo, { signal: new AbortController() as never }),
    ],
    [
      /signal must be an AbortSignal/,
      () => consumer.reserveChunks({ max: 1, signal: {} as never, raw: true }),
    ],
    [/threads needs the URL of a module/, () => consumer.runEachOp(echo, { threads: 2 })],
    [
      /onOpError needs runEachOp/,
      () => consumer.runEachChunk((ops) => ops, { onOpError: 'record' } as object),
    ],
    [
      /opConcurrency needs runEachOp/,
      () => consumer.runEachChunk((ops) => ops, { opConcurrency: 2 } as object),
    ],
    [/opConcurrency must be an integer from 1/, () => consumer.runEachOp(echo, { opConcurrency: 0 })],
    [
      /opConcurrency must be an integer from 1 to 10000, got 1.5/,
      () => consumer.runEachOp(new URL('file:///work.js'), { opConcurrency: 1.5 }),
    ],
    [
      /opConcurrency must be an integer from 1 to 10000, got "4"/,
      () => consumer.runEachOp(new URL('file:///work.js'), { opConcurrency: '4' as never }),
    ],
    [
      /maps must be one of object, map, got "list"/,
      () => consumer.runEachOp(echo, { codec: { name: 'cbor', maps: 'list' as 'map' } }),
    ],
  ];
  for (const [message, call] of wrong) {
    await assert.rejects(
      call,
      (error) => error instanceof IncorrectUsageError && message.test(error.message),
    );
  }
  assert.equal(scene.queue.connectionsTotal, 0);
});
