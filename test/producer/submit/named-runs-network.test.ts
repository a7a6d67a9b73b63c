/** Named runs where the network is between: the object stores of all schemes, and a queue whose answers are lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openObjectStore } from '../../../src/objects/open.ts';
import { ProducerClient, QueueUnsupportedError, SourceChangedError } from '../../../src/producer/index.ts';
import { FakeQueue } from '../../support/fakes/fake-queue-http.ts';
import { watchedStore } from '../../support/fakes/watched-store.ts';
import { type Fault, startFaultProxy } from '../../support/network/fault-proxy.ts';
import { freshStore } from '../../support/objects/fresh-store.ts';
import { SERVERS } from '../../support/objects/object-servers.ts';
import { realQueue } from '../../support/queues/real-queue.ts';

const RUN = { name: 'nightly', chunkSize: 2 };
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

for (const [scheme, start] of Object.entries(SERVERS)) {
  test(`a named run continues on ${scheme}:, and attaches there`, async () => {
    await using stack = new AsyncDisposableStack();
    const server = await start();
    stack.defer(() => server.stop());
    const { url, options } = server.place('named runs');
    const queue = stack.use(await realQueue());
    const produce = async (failAt?: number) => {
      const opened = await openObjectStore(url, options);
      stack.defer(() => opened.close());
      const store = watchedStore(opened, {
        put: async (key) => {
          if (key === `nightly/${failAt}-in.bin`) throw new Error('broken off');
          return undefined;
        },
      });
      return { store, producer: stack.use(new ProducerClient(queue.url, store, { transfersMax: 1 })) };
    };
    const first = await produce(27);
    await assert.rejects(first.producer.submit(numbers(100), RUN), /broken off/);
    const second = await produce();
    const { id } = await second.producer.submit(numbers(100), RUN);
    const put = second.store.puts.filter((key) => key.endsWith('-in.bin'));
    assert.deepEqual(
      put,
      numbers(23).map((i) => `nightly/${27 + i}-in.bin`),
    );
    const third = await produce();
    assert.equal((await third.producer.submit(numbers(100), RUN)).id, id);
    assert.deepEqual(third.store.puts, []);
    await assert.rejects(third.producer.submit(numbers(99), RUN), SourceChangedError);
  });
}

/** A queue behind a network that plays a fault once, at the next insert. */
async function setUp(fault: Fault, onFault = () => {}) {
  const stack = new AsyncDisposableStack();
  const queue = stack.use(await realQueue());
  let isDue = true;
  const proxy = await startFaultProxy(`http://${queue.url}`, ({ method, url }) => {
    if (!isDue || method !== 'POST' || url !== '/producer/submissions') return null;
    isDue = false;
    onFault();
    return fault;
  });
  stack.defer(() => proxy.stop());
  const produce = () => {
    const store = watchedStore(queue.objects.store);
    return { store, producer: stack.use(new ProducerClient(proxy.origin, store, { logger: null })) };
  };
  return { queue, produce, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('a named run whose insert was carried out, but not answered, is one submission', async () => {
  await using world = await setUp({ kind: 'lost-answer' });
  const { producer } = world.produce();
  const { id } = await producer.submit(numbers(100), RUN);
  assert.equal((await producer.submit(numbers(100), RUN)).id, id);
  assert.equal(await producer.countSubmissions(), 1);
});

test('a named run whose insert was aborted stays, and the next call goes on with it', async () => {
  const controller = new AbortController();
  await using world = await setUp({ kind: 'hang' }, () => controller.abort(new Error('enough')));
  const { producer } = world.produce();
  const submitting = producer.submit(numbers(100), { ...RUN, signal: controller.signal });
  await assert.rejects(submitting, /enough/);
  const again = world.produce();
  await again.producer.submit(numbers(100), RUN);
  assert.deepEqual(
    again.store.puts.filter((key) => key.endsWith('-in.bin')),
    [],
  );
  assert.equal(await producer.countSubmissions(), 1);
});

test('a named run works with a queue like the original, too', async () => {
  await using queue = await FakeQueue.start({ features: [] });
  const store = watchedStore(freshStore());
  await using producer = new ProducerClient(queue.url, store, { logger: null });
  const { id } = await producer.submit(numbers(100), RUN);
  const { length } = store.puts;
  assert.equal((await producer.submit(numbers(100), RUN)).id, id);
  assert.equal(store.puts.length, length);
  await assert.rejects(producer.submit(numbers(98), RUN), SourceChangedError);
  // It would run twice there, without a sign of it.
  await assert.rejects(producer.submit(numbers(100), { ...RUN, in: 'queue' }), QueueUnsupportedError);
});
