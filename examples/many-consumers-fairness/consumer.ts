import { setTimeout as sleep } from 'node:timers/promises';
import { ConsumerClient } from 'opsqueue/consumer';
import { strategyOf } from './arguments.ts';

const consumer = new ConsumerClient(
  process.env.OPSQUEUE_URL ?? 'localhost:3999',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/many-consumers-fairness/',
);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => consumer.stop());

const [name = process.pid, ...args] = process.argv.slice(2);
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
  { strategy: strategyOf(args) },
);
