import { ConsumerClient, Strategy } from 'opsqueue/consumer';

const consumer = new ConsumerClient(
  process.env.OPSQUEUE_URL ?? 'localhost:3999/q/words',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/capitalize-text/',
);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => consumer.stop());

function capitalize(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

await consumer.runEachOp(capitalize, { strategy: Strategy.random() });
