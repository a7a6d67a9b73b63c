import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OperationCodec } from '../../../src/consumer/index.ts';
import type { FakeConnection } from '../../support/fakes/fake-queue.ts';
import { cbor, quietly, Scene } from '../../support/peers/consumer-scene.ts';

const CHUNKS = 8;
/** Large enough to be moved between threads instead of copied. */
const BYTES = 8_192;

test('a callback may answer the same buffer for every chunk', async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const same = new Uint8Array(BYTES).fill(7);
  void quietly(scene.consumer.runEachChunkRaw(() => same, { prefetch: CHUNKS }));
  const connection = await scene.serve(...(await chunks(scene)));
  await completions(connection);
  for (let index = 0; index < CHUNKS; index++) {
    assert.deepEqual(await output(scene, index), Buffer.alloc(BYTES, 7), `of chunk ${index}`);
  }
  assert.equal(same.length, BYTES, 'it is still there');
});

test('a callback may write its next result over the last one', async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const scratch = Buffer.alloc(BYTES);
  void quietly(
    scene.consumer.runEachChunkRaw((_, { chunkIndex }) => scratch.fill(chunkIndex + 1).subarray(0, 4), {
      prefetch: CHUNKS,
    }),
  );
  await completions(await scene.serve(...(await chunks(scene))));
  for (let index = 0; index < CHUNKS; index++) {
    assert.deepEqual(await output(scene, index), Buffer.alloc(4, index + 1), `of chunk ${index}`);
  }
});

test('a codec of the user may encode into the same buffer again and again', async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const scratch = new Uint8Array(BYTES);
  const codec: OperationCodec = {
    encode: ([result]) => scratch.fill(Number(result)),
    decode: (content) => cbor.decode(content),
  };
  void quietly(scene.consumer.runEachOp((op: number) => op + 1, { codec, prefetch: CHUNKS }));
  await completions(await scene.serve(...(await chunks(scene))));
  for (let index = 0; index < CHUNKS; index++) {
    assert.deepEqual(await output(scene, index), Buffer.alloc(BYTES, index + 1), `of chunk ${index}`);
  }
});

test('a buffer that the callback has given away fails its chunk, and no other', async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const gone = new Uint8Array(BYTES);
  structuredClone(gone, { transfer: [gone.buffer] });
  const run = scene.consumer.runEachChunkRaw(
    (_, { chunkIndex }) => (chunkIndex === 1 ? gone : Uint8Array.of(chunkIndex)),
    { prefetch: CHUNKS },
  );
  void quietly(run);
  const connection = await scene.serve(...(await chunks(scene)));
  const failed = await connection.until('fail');
  assert.equal(failed.chunk.chunkIndex, 1);
  assert.match(failed.failure, /detached/);
  await scene.consumer.stop();
});

function chunks(scene: Scene) {
  return Promise.all(Array.from({ length: CHUNKS }, (_, index) => scene.chunk(index, [index])));
}

async function completions(connection: FakeConnection): Promise<void> {
  for (let count = 0; count < CHUNKS; count++) await connection.until('complete');
}

function output(scene: Scene, index: number): Promise<Uint8Array> {
  return scene.objects.readOutput(scene.submission.prefix ?? '', index);
}
