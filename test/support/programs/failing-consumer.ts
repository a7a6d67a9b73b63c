/** A consumer whose callback fails until a file exists, and reports each failure: the operation and the time. */
import { existsSync } from 'node:fs';
import { ConsumerClient } from '../../../src/consumer/index.ts';

const [queueUrl = '', objectsUrl = '', until = ''] = process.argv.slice(2);
const consumer = new ConsumerClient(queueUrl, objectsUrl, { logger: null });
consumer.once('connected', () => process.send?.('connected'));

await consumer.runEachOp((op: number) => {
  if (existsSync(until)) return op;
  process.send?.({ op, atMs: performance.now() });
  throw new Error('the database is starting up');
});
