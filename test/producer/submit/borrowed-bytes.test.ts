import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProducerClient } from '../../../src/producer/index.ts';
import { FakeQueue } from '../../support/fakes/fake-queue-http.ts';
import { watchedStore } from '../../support/fakes/watched-store.ts';
import { freshStore } from '../../support/objects/fresh-store.ts';

const numbers = Array.from({ length: 100 }, (_, at) => at);

/** Writes every chunk into the same few bytes, as somebody does who saves allocations. */
function scratchCodec() {
  const scratch = new Uint8Array(1);
  return {
    scratch,
    encode: ([first]: readonly unknown[]) => {
      scratch[0] = Number(first);
      return scratch;
    },
    decode: () => [],
  };
}

function* scratchChunks() {
  const { encode } = scratchCodec();
  for (const number of numbers) yield encode([number]);
}

async function* scratchChunksAsync() {
  yield* scratchChunks();
}

/** A store that looks at what it is given a turn later. */
function lateStore(bodies: Uint8Array[]) {
  const put = async (_key: string, body: Uint8Array) => {
    bodies.push(body);
    await new Promise<void>((resolve) => setImmediate(resolve));
    return undefined;
  };
  return watchedStore(freshStore(), { put });
}

for (const transfersMax of [1, 16]) {
  test(`chunks that share a buffer are uploaded as they were given, ${transfersMax} at a time`, async () => {
    const bodies: Uint8Array[] = [];
    const store = lateStore(bodies);
    await using queue = await FakeQueue.start();
    await using producer = new ProducerClient(queue.url, store, { transfersMax, codec: 'raw' });
    const codec = scratchCodec();
    await using encoding = new ProducerClient(queue.url, store, { transfersMax, codec });
    const ids = [
      await encoding.insertSubmission(numbers, { chunkSize: 1 }),
      await producer.insertSubmission(scratchChunks(), { chunkSize: 1 }),
      await producer.insertSubmission(scratchChunksAsync(), { chunkSize: 1 }),
    ];
    for (const id of ids) {
      const { prefix } = queue.submissions.get(BigInt(id))!.record;
      for (const index of numbers) {
        assert.deepEqual(await store.get(`${prefix}/${index}-in.bin`), Uint8Array.of(index));
      }
    }
    // What is uploaded before the next one is made is not worth a copy.
    assert.equal(bodies[0]?.buffer === codec.scratch.buffer, transfersMax === 1);
  });
}

test('a chunk that takes all the memory there is for chunks is not copied', async () => {
  const bodies: Uint8Array[] = [];
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, lateStore(bodies), {
    memoryBytesMax: 100,
    codec: 'raw',
  });
  const chunks = [new Uint8Array(100), new Uint8Array(99)];
  await producer.insertSubmission(chunks, { chunkSize: 1 });
  assert.deepEqual(
    bodies.map((body, at) => body === chunks[at]),
    [true, false],
  );
});

test('a buffer that is transferred once its chunk was taken over holds nothing up', async () => {
  const store = lateStore([]);
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store, { codec: 'raw' });
  function* transferred() {
    for (const number of numbers) {
      const chunk = Uint8Array.of(number, number);
      yield chunk;
      structuredClone(chunk, { transfer: [chunk.buffer] });
    }
  }
  await producer.insertSubmission(transferred(), { chunkSize: 1, memoryBytesMax: 4 });
  const { prefix } = queue.only().record;
  assert.deepEqual(await store.get(`${prefix}/7-in.bin`), Uint8Array.of(7, 7));
});

test('chunks of a direct submission that share a buffer travel as they were given', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, null, { codec: scratchCodec() });
  await producer.insertSubmission(numbers, { in: 'queue', chunkSize: 1 });
  await using raw = new ProducerClient(queue.url, null, { codec: 'raw' });
  await raw.insertSubmission(scratchChunks(), { in: 'queue', chunkSize: 1 });
  await raw.insertSubmission(scratchChunksAsync(), { in: 'queue', chunkSize: 1 });
  for (const { inputs } of queue.submissions.values()) {
    assert.deepEqual(inputs.map(Number), numbers);
  }
  assert.equal(queue.submissions.size, 3);
});
