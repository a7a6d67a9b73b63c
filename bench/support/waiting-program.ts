/** Calls that wait: with a queue's URL and an object store's as a consumer, with a number in a plain loop. */
import { setTimeout as delay } from 'node:timers/promises';
import { ConsumerClient } from '../../src/consumer/index.ts';

const [target = '', atOnce = '', urlOrCalls = '', objects] = process.argv.slice(2);
const callMs = target.startsWith('timer:') ? Number(target.slice('timer:'.length)) : null;

async function call(op: number): Promise<number> {
  if (callMs !== null) await delay(callMs);
  else await (await fetch(target)).arrayBuffer();
  return op;
}

if (objects === undefined) {
  let next = 0;
  const total = Number(urlOrCalls);
  const results: number[] = [];
  const lane = async () => {
    while (next < total) {
      const op = next++;
      results[op] = await call(op);
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: Number(atOnce) }, lane));
  process.send?.({ seconds: (performance.now() - began) / 1_000 });
  process.once('message', () => process.disconnect?.());
} else {
  const consumer = new ConsumerClient(urlOrCalls, objects);
  process.once('message', () => void consumer.stop());
  const over = consumer.runEachOp(call, { opConcurrency: Number(atOnce) });
  while (!consumer.isHealthy()) await delay(5);
  process.send?.('ready');
  await over;
  process.disconnect?.();
}
