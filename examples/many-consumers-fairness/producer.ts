import { ProducerClient } from 'opsqueue/producer';

const producer = new ProducerClient(
  process.env.OPSQUEUE_URL ?? 'localhost:3999',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/many-consumers-fairness/',
);

/** Customer 1 comes first, with far more to do than the others: first come, first served would let them wait. */
const tasks = new Map([
  [1, 100],
  [2, 10],
  [3, 10],
  [4, 10],
]);

async function submit(customer: number, count: number) {
  const operations = Array.from({ length: count }, (_, task) => ({ customer, task }));
  // What strategies go by. The small ones are urgent.
  const strategicMetadata = { customer, urgency: customer === 1 ? 0 : 1 };
  const began = performance.now();
  return { submission: await producer.submit(operations, { chunkSize: 1, strategicMetadata }), began };
}

const submissions = new Map<number, Awaited<ReturnType<typeof submit>>>();
for (const [customer, count] of tasks) submissions.set(customer, await submit(customer, count));

await Promise.all(
  [...submissions].map(async ([customer, { submission, began }]) => {
    let results = 0;
    for await (const _ of submission.results()) results++;
    const waited = ((performance.now() - began) / 1_000).toFixed(1);
    console.log(`customer ${customer} has all ${results} results, after ${waited} s`);
  }),
);
await producer.close();
