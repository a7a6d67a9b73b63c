// In a process of its own: it counts what keeps the process alive.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { FakeQueue, fakeChunk, fakeSubmission } from '../support/fakes/fake-queue.ts';
import { quietly } from '../support/peers/consumer-scene.ts';
import { eventually } from '../support/time/eventually.ts';

const program = fileURLToPath(new URL('../support/programs/finishing-consumer.ts', import.meta.url));

/**
 * Runs the program and answers its exit code; it is killed after ten seconds. By a signal: the timer of the option
 * `timeout` is kept until it fires, and so was this process.
 */
function start(queue: FakeQueue, how: string) {
  const child = fork(program, [queue.url, 'memory:///life-cycle', how], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    signal: AbortSignal.timeout(10_000),
    killSignal: 'SIGKILL',
  });
  const exited = once(child, 'exit').then(([code, signal]) => code ?? signal);
  return { child, exited };
}

test('clients that come and go leave no thread, listener or timer behind', async () => {
  await using queue = await FakeQueue.start();
  const before = resources();
  const signal = new AbortController().signal;
  for (let round = 0; round < 8; round++) {
    const consumer = new ConsumerClient(queue.url, 'memory:///life-cycle');
    void quietly(consumer.runEachOp((op) => op, { signal }));
    const connection = await queue.connection();
    await connection.next('reserve');
    await (round % 2 === 0 ? consumer.stop() : consumer.close());
    await connection.closed;
  }
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
  await eventually(() => [...resources()].every(([name, count]) => count <= (before.get(name) ?? 0)));
});

for (const how of ['unused', 'idle', 'stopped', 'closed']) {
  test(`a process whose consumer is ${how} ends by itself`, async () => {
    await using queue = await FakeQueue.start();
    const { child, exited } = start(queue, how);
    if (how === 'idle') {
      child.disconnect();
      const connection = await queue.connection();
      const direct = fakeSubmission({ prefix: null });
      const { nonce } = await connection.next('reserve');
      connection.answer(nonce, [fakeChunk(direct, 0, { inputContent: Uint8Array.of(0x80) })]);
      await connection.next('fail');
    } else if (how === 'unused') child.disconnect();
    else {
      await once(child, 'message');
      await (await queue.connection()).next('reserve');
      child.send('end');
    }
    assert.equal(await exited, 0);
    await eventually(() => queue.connectionsOpen === 0);
  });
}

/** What keeps this process busy, by kind. */
function resources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
