import { setTimeout as sleep } from 'node:timers/promises';
import { ConsumerClient, Strategy } from 'opsqueue/consumer';

const consumer = new ConsumerClient(
  process.env.OPSQUEUE_URL ?? 'localhost:3999',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/many-consumers-fairness/',
);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => consumer.stop());

const name = process.argv[2] ?? process.pid;
/** What the producer sends. */
interface Task {
  readonly customer: number;
  readonly task: number;
}

await consumer.runEachOp(
  async ({ customer, task }: Task) => {
    console.log(`consumer ${name} serves customer ${customer} (task ${task})`);
    await sleep(20);
    return task;
  },
  // The customer with the fewest chunks in work comes first, and of one customer the oldest submission.
  { strategy: Strategy.preferDistinct('customer', Strategy.oldest()) },
);
