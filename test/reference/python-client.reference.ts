import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { freePort } from '../support/network/free-port.ts';
import { ended, inFolder, loadSeconds, startPython, startQueue } from './support.ts';

/** What producers.py prints after every fifty submissions. */
const MORE_DONE = 'fifty more';

for (const path of ['', '/q/images', '/q/images/']) {
  test(`everything that the original Python clients offer works with our queue at host:port${path}`, () =>
    everything(path));
}

async function everything(path: string): Promise<void> {
  await inFolder(async (folder) => {
    const port = await freePort();
    const queue = await startQueue('ours', {
      port,
      database: join(folder, 'queue.db'),
      flags: ['--max-chunk-retries', '2'],
    });
    const where = [`localhost:${port}${path}`, `file://${folder}/objects`];
    const worker = startPython('worker.py', [...where, 'distinct']);
    const { child, output } = startPython('everything.py', where);
    let isTold = false;
    child.stdout?.on('data', () => {
      if (!output().includes('STOP WORKER') || isTold) return;
      isTold = true;
      void ended(worker.child, 'SIGKILL').then(() => child.stdin?.end('stopped\n'));
    });
    const [code] = await once(child, 'exit');
    await ended(worker.child, 'SIGKILL');
    await queue.kill();
    assert.equal(code, 0, output());
    assert.match(output(), /a hundred chunks took/);
  });
}

test('the original Python clients under load, while consumers and our queue are killed', async () => {
  await inFolder(async (folder) => {
    const port = await freePort();
    const settings = { port, database: join(folder, 'queue.db') };
    const where = [`localhost:${port}`, `file://${folder}/objects`];
    let queue = await startQueue('ours', settings);
    const strategies = ['oldest', 'newest', 'random', 'distinct'];
    const workers = strategies.map((strategy) => startPython('worker.py', [...where, strategy]));
    const producers = startPython('producers.py', [...where, String(loadSeconds), '4']);
    const over = once(producers.child, 'exit');
    let kills = 0;
    // Each time that so much was done: what was broken has to go on before the next one is killed.
    for await (const line of createInterface({ input: producers.child.stdout! })) {
      if (line !== MORE_DONE) continue;
      kills++;
      const victim = kills % strategies.length;
      await ended(workers[victim]!.child, 'SIGKILL');
      workers[victim] = startPython('worker.py', [...where, strategies[victim]!]);
      if (kills % 3 !== 0) continue;
      await queue.kill();
      queue = await startQueue('ours', settings);
    }
    const [code] = await over;
    for (const worker of workers) await ended(worker.child, 'SIGKILL');
    await queue.kill();
    assert.equal(code, 0, producers.output().slice(-2_000));
    console.log(`${producers.output().trim().split('\n').at(-1)}; ${kills} kills`);
  });
});
