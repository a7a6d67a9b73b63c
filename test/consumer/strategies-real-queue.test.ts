/** Strategies from the client's call to what the queue hands out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReservationRefusedError, Strategy } from '../../src/consumer/index.ts';
import { CONSUMER_FEATURES } from '../../src/protocol/features.ts';
import { Scene } from '../support/peers/consumer-scene.ts';
import { realQueue } from '../support/queues/real-queue.ts';

test('every strategy reaches the queue and is heeded there', async () => {
  await using queue = await realQueue();
  for (const [kind, urgency] of [
    [1, 0],
    [2, 5],
    [3, 9],
    [4, -1],
  ] as const) {
    await queue.producer.insertSubmission(Array(9).fill(`of ${kind}`), {
      chunkSize: 1,
      strategicMetadata: { kind, urgency },
    });
  }
  const consumer = queue.consume();
  const first = async (strategy: Strategy) => {
    const [chunk] = await consumer.reserveChunks({ max: 1, strategy });
    return chunk!.ops[0];
  };
  const { oldest } = Strategy;
  assert.equal(await first(Strategy.selectOnly('kind', [4, 2], oldest())), 'of 2');
  assert.equal(await first(Strategy.selectExcept('kind', [1, 2], oldest())), 'of 3');
  assert.equal(await first(Strategy.priority('urgency', oldest())), 'of 3');
  assert.equal(await first(Strategy.maxSimultaneous('kind', 1, Strategy.newest())), 'of 4');
  const nothing = Strategy.selectOnly('kind', [99]);
  assert.equal(await first(Strategy.orElse(nothing, Strategy.selectOnly('kind', [2]))), 'of 2');
  assert.equal(
    await first(Strategy.parse('preferDistinct(kind, selectExcept(kind, [1], priority(urgency)))')),
    'of 4',
  );
});

test('consumers that select share the work by kind, and a limit holds over all of them', async () => {
  await using queue = await realQueue();
  const running = new Map<number, number>();
  const seen = new Map<number, Set<string>>();
  let highest = 0;
  const consume = (name: string, strategy: Strategy) =>
    queue.consume().runEachOp(
      async ({ kind }: { kind: number }) => {
        running.set(kind, (running.get(kind) ?? 0) + 1);
        if (kind === 2) highest = Math.max(highest, running.get(kind)!);
        seen.set(kind, (seen.get(kind) ?? new Set()).add(name));
        await new Promise((resolve) => setTimeout(resolve, 2));
        running.set(kind, running.get(kind)! - 1);
      },
      { strategy, concurrency: 4 },
    );
  const runs = [
    consume('only 1', Strategy.selectOnly('kind', [1])),
    consume('not 1', Strategy.maxSimultaneous('kind', 3, Strategy.selectExcept('kind', [1]))),
    consume('not 1 either', Strategy.maxSimultaneous('kind', 3, Strategy.selectExcept('kind', [1]))),
  ];
  for (const run of runs) run.catch(() => undefined);
  const ops = (kind: number) => Array.from({ length: 40 }, () => ({ kind }));
  await Promise.all(
    [1, 2].map((kind) =>
      Array.fromAsync(queue.producer.runSubmission(ops(kind), { chunkSize: 1, strategicMetadata: { kind } })),
    ),
  );
  assert.deepEqual([...seen.get(1)!], ['only 1']);
  assert.ok(!seen.get(2)!.has('only 1'));
  assert.ok(highest <= 3, `${highest} of kind 2 at once`);
});

test('against a queue that does not know a strategy the call fails before it reserves anything', async () => {
  const features = CONSUMER_FEATURES.queue.filter((name) => name !== 'strategies');
  await using scene = await Scene.open({ features });
  const strategy = Strategy.orElse(Strategy.selectOnly('kind', [1]), Strategy.oldest());
  const run = scene.consumer.runEachOp((op) => op, { strategy });
  await assert.rejects(
    run,
    (error) =>
      error instanceof ReservationRefusedError &&
      error.reason.includes('does not know the strategy orElse(selectOnly(kind, [1], random), oldest)'),
  );
  // The connection is as it was, for strategies that the queue knows.
  const reserved = scene.consumer.reserveChunks({ raw: true, strategy: Strategy.preferDistinct('kind') });
  const connection = await scene.queue.connection();
  const { strategy: asked } = await connection.next('reserve');
  assert.deepEqual(asked, Strategy.preferDistinct('kind'));
  const rejected = assert.rejects(reserved);
  await scene.consumer.stop();
  await rejected;
});
