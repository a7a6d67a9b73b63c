import { ConsumerClient } from 'opsqueue/consumer';
import { checksum } from './checksum.ts';

const consumer = new ConsumerClient(
  process.env.OPSQUEUE_URL ?? 'localhost:3999',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/checksum-tree/',
);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => consumer.stop());

await consumer.runEachOp(checksum);
