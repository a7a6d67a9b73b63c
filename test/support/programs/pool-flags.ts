/** Runs a module's callback in a pool for one chunk, and prints what it answered. The arguments: queue, object store, module. */
import { ConsumerClient } from '../../../src/consumer/index.ts';
import { ProducerClient } from '../../../src/producer/index.ts';

const [queue = '', objectStore = '', module = ''] = process.argv.slice(2);
await using consumer = new ConsumerClient(queue, objectStore);
await using producer = new ProducerClient(queue, objectStore);
consumer.runEachOp(new URL(module), { threads: 1 }).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
const results = await Array.fromAsync(producer.runSubmission([0], { chunkSize: 1 }));
console.log(JSON.stringify(results));
