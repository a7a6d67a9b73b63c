import { ConsumerClient } from '../../src/consumer/index.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import { slowStore } from './slow-store.ts';

const [url = '', objects = '', latencyMs = '0'] = process.argv.slice(2);
const store = latencyMs === '0' ? objects : slowStore(await openObjectStore(objects), Number(latencyMs));
const consumer = new ConsumerClient(url, store);
process.once('message', () => void consumer.stop());
const over = consumer.runEachOp((word: string) => word.toUpperCase());
while (!consumer.isHealthy()) await new Promise((resolve) => setTimeout(resolve, 5));
process.send?.('ready');
await over;
process.disconnect?.();
