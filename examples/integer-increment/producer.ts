import { ProducerClient } from 'opsqueue/producer';

const producer = new ProducerClient<number, number>(
  process.env.OPSQUEUE_URL ?? 'localhost:3999',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/integer-increment/',
);
const count = Number(process.argv[2] ?? 1_000_000);

/** Nothing of it is ever in memory as a whole: chunks are uploaded as they fill up. */
function* integers(): Generator<number> {
  for (let i = 0; i < count; i++) yield i;
}

const start = performance.now();
let expected = 1;
for await (const integer of producer.runSubmission(integers(), { chunkSize: 10_000 })) {
  if (integer !== expected) throw new Error(`expected ${expected}, not ${integer}`);
  expected++;
}
const seconds = (performance.now() - start) / 1000;
console.log(
  `${expected - 1} integers incremented, all there and in order, in ${seconds.toFixed(1)} s ` +
    `(${Math.round(count / seconds).toLocaleString('en-US')} operations/s)`,
);
await producer.close();
