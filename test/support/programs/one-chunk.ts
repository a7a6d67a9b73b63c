/** Producer and consumer, for one chunk: prints its result. The arguments: queue, object store, and a JSON object of options for both. */
import tls from 'node:tls';
import { ConsumerClient } from '../../../src/consumer/index.ts';
import { ProducerClient } from '../../../src/producer/index.ts';

const [queue = '', objectStore = '', options = '{}'] = process.argv.slice(2);
const { trusted, ...both } = JSON.parse(options) as { trusted?: string; ca?: string };
if (trusted !== undefined) tls.setDefaultCACertificates([trusted]);
await using consumer = new ConsumerClient(queue, objectStore, both);
await using producer = new ProducerClient(queue, objectStore, { retryForMs: 0, ...both });
consumer
  .runEachOp((text: string) => text.toUpperCase())
  .catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
console.log((await Array.fromAsync(producer.runSubmission(['done'], { chunkSize: 1 }))).join());
