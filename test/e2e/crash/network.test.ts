import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { ConsumerClient } from '../../../src/consumer/index.ts';
import { ProducerClient } from '../../../src/producer/index.ts';
import { type Random, randomInt } from '../../../src/system/random.ts';
import { crashPatienceMs, crashRounds } from '../../support/crash/budget.ts';
import { type LinkFault, TcpProxy } from '../../support/network/tcp-proxy.ts';
import { TempStore } from '../../support/objects/temp-store.ts';
import { TestServer } from '../../support/queues/test-server.ts';

const SHARE = 0.1;
const CHUNKS = 40;
const CHUNK_SIZE = 5;
/** Then the network is well: after each link that broke soon, clients wait twice as long before the next. */
const BAD_LINKS = 10;
/** Messages between these clients and the queue have some hundred bytes. */
const CUT_WITHIN_BYTES = 6_000;

type Network = (random: Random, isConsumer: boolean) => LinkFault;

const cutAfter = (random: Random, how: 'end' | 'reset' | 'swallow'): LinkFault => ({
  cut: { afterBytes: randomInt(random, CUT_WITHIN_BYTES), how },
});

const NETWORKS: Readonly<Record<string, Network>> = {
  'delays everything': () => ({ delayMs: 15 }),
  'cuts after n bytes': (random) => cutAfter(random, 'end'),
  'resets connections': (random) => cutAfter(random, 'reset'),
  // A producer would notice only after its long poll was due.
  'swallows what consumers and queue say': (random, isConsumer) =>
    isConsumer ? cutAfter(random, 'swallow') : {},
  'does all of that': (random, isConsumer) => ({
    delayMs: randomInt(random, 5),
    ...cutAfter(random, isConsumer ? 'swallow' : random.next() < 0.5 ? 'end' : 'reset'),
  }),
};

async function fullRun(t: TestContext, network: Network): Promise<void> {
  const { random, numbers } = crashRounds(t, 1, SHARE);
  let [links, cuts] = [0, 0];
  for (const round of numbers) {
    await using stack = new AsyncDisposableStack();
    const objects = stack.use(await TempStore.create());
    // Not one chunk may fail because of the network: the first failure would end the submission.
    const queue = stack.use(
      await TestServer.start({
        heartbeatIntervalMs: 100,
        missableHeartbeatsMax: 1,
        chunkRetriesMax: 0,
        chunkDisconnectsMax: 0,
      }),
    );
    let bad = 0;
    const decide = (first: Buffer): LinkFault =>
      bad++ < BAD_LINKS ? network(random, first.includes('GET /consumer')) : {};
    const proxy = stack.use(await TcpProxy.start(queue.port, decide));
    const url = `127.0.0.1:${proxy.port}`;
    for (let i = 0; i < 2; i++) {
      const consumer = stack.use(new ConsumerClient(url, objects.url));
      consumer.runEachOp((number: number) => number * 2, { concurrency: 2 }).catch(() => {});
    }
    const producer = stack.use(new ProducerClient(url, objects.url, { requestTimeoutMs: 1_000 }));
    const numbersIn = Array.from({ length: CHUNKS * CHUNK_SIZE }, (_, i) => round * 1_000 + i);
    const results = await Array.fromAsync(producer.runSubmission(numbersIn, { chunkSize: CHUNK_SIZE }));
    assert.deepEqual(
      results,
      numbersIn.map((number) => number * 2),
    );
    links += proxy.links;
    cuts += Object.values(proxy.cuts).reduce((sum, count) => sum + count);
  }
  t.diagnostic(`${links} links, ${cuts} of them were cut`);
  assert.ok(network !== NETWORKS['delays everything'] || cuts === 0);
  assert.ok(network === NETWORKS['delays everything'] || cuts > 0, 'no link was cut');
}

// Side by side: each waits most of the time, for the back-off of its clients.
describe('a run of producer, queue and consumers gives every result, in order, on a network that', {
  concurrency: true,
}, () => {
  for (const [what, network] of Object.entries(NETWORKS)) {
    test(what, { timeout: crashPatienceMs(SHARE) }, (t) => fullRun(t, network));
  }
});
