/** Ends by itself, if nothing of a consumer keeps the process alive that should not. */
import { ConsumerClient } from '../../../src/consumer/index.ts';

const [queueUrl = '', objectsUrl = '', how = ''] = process.argv.slice(2);
const consumer = new ConsumerClient(queueUrl, objectsUrl);
switch (how) {
  case 'unused':
    break;
  case 'idle': {
    // A connection that nobody uses any more.
    const [chunk] = await consumer.reserveChunks({ raw: true });
    if (chunk !== undefined) await consumer.failChunk(chunk, 'just looking');
    break;
  }
  case 'stopped': {
    const over = consumer.runEachOp((op) => op);
    process.once('message', () => void consumer.stop());
    process.send?.('running');
    await over;
    process.disconnect?.();
    break;
  }
  case 'closed': {
    const over = consumer.runEachOp((op) => op).catch(() => {});
    process.once('message', () => void consumer.close());
    process.send?.('running');
    await over;
    process.disconnect?.();
    break;
  }
  default:
    throw new Error(how);
}
process.stdout.write('the end of the program\n');
