import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ClientClosedError, ProducerClient } from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { workEverything } from '../support/fakes/fake-queue-worker.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { eventually } from '../support/time/eventually.ts';

const index = fileURLToPath(new URL('../../src/producer/index.ts', import.meta.url));

test('an idle client does not keep its process alive', async () => {
  await using queue = await FakeQueue.start();
  const program = `
    import { ProducerClient } from ${JSON.stringify(index)};
    const producer = new ProducerClient('${queue.url}', 'memory:///idle');
    const id = await producer.insertSubmission([1, 2, 3], { chunkSize: 1 });
    await producer.submission(id).details();
    producer.runSubmission([1], { chunkSize: 1 });
    console.log('through');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  let said = '';
  child.stdout.on('data', (data) => {
    said += data;
  });
  const startMs = performance.now();
  const [status] = await once(child, 'exit');
  assert.equal(status, 0);
  assert.equal(said, 'through\n');
  // The queue closes its idle connections after 5 s: an exit by that would be no exit by itself.
  assert.ok(performance.now() - startMs < 4000);
});

test('a thousand clients leave neither listeners on a signal nor connections', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => op) });
  let listeners = 0;
  const controller = new AbortController();
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  for (let run = 0; run < 1000; run++) {
    await using producer = new ProducerClient(queue.url, store);
    if (run % 50 === 0) {
      const results = producer.runSubmission([1, 2], { chunkSize: 1, signal });
      for await (const _ of results) if (run % 100 === 0) break;
      await producer.insertSubmission([1], { chunkSize: 1, signal });
    } else {
      await producer.serverVersion({ signal });
    }
    assert.equal(listeners, 0);
  }
  while (queue.http.connections > 0) await new Promise(setImmediate);
});

test('does not close an object store that it was given, and closes one that it opened', async () => {
  let closed = 0;
  const inner = freshStore();
  const store = Object.assign(watchedStore(inner), {
    close: async () => {
      closed++;
    },
  });
  await using queue = await FakeQueue.start();
  {
    await using producer = new ProducerClient(queue.url, store);
    await producer.insertSubmission([1], { chunkSize: 1 });
  }
  assert.equal(closed, 0);
});

test('stop() finishes the calls under way and refuses new ones; so does await using', async () => {
  for (const end of ['stop', Symbol.asyncDispose] as const) {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const store = watchedStore(freshStore(), {
      put: async () => {
        reached.resolve();
        await gate.promise;
        return undefined;
      },
    });
    await using queue = await FakeQueue.start();
    const producer = new ProducerClient(queue.url, store);
    const submitting = producer.submit([1, 2, 3], { chunkSize: 1 });
    await reached.promise;
    const stopped = producer[end]();
    const submission = producer.submission(1n);
    await assert.rejects(producer.submit([4], { chunkSize: 1 }), ClientClosedError);
    await assert.rejects(submission.details(), ClientClosedError);
    await assert.rejects(submission.results().next(), ClientClosedError);
    gate.resolve();
    await stopped;
    assert.equal((await submitting).id, String(queue.only().record.id));
    await eventually(() => queue.http.connections === 0);
    await producer.stop();
    await producer.close();
  }
});
