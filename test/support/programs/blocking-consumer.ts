import { existsSync } from 'node:fs';
import { ConsumerClient } from '../../../src/consumer/index.ts';

const [queueUrl = '', objectsUrl = '', until = ''] = process.argv.slice(2);
const nothing = new Int32Array(new SharedArrayBuffer(4));
const consumer = new ConsumerClient(queueUrl, objectsUrl);
process.on('message', () => void consumer.stop().then(() => process.disconnect?.()));

await consumer.runEachOp((op: unknown) => {
  if (op !== 'hold') return op;
  // A message is written at once, also by a thread that blocks right after it.
  process.send?.('begun');
  while (!existsSync(until)) Atomics.wait(nothing, 0, 0, 5);
  process.send?.('done');
  return op;
});
