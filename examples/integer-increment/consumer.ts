import { ConsumerClient } from 'opsqueue/consumer';

const consumer = new ConsumerClient(
  process.env.OPSQUEUE_URL ?? 'localhost:3999',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/integer-increment/',
);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => consumer.stop());

await consumer.runEachOp((integer: number) => integer + 1);
