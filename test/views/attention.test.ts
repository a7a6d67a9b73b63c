import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plain } from '../../src/cli/text.ts';
import { RETRY_DEFAULT } from '../../src/model/retry.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { attention } from '../../src/views/answers/attention.ts';
import { failures } from '../../src/views/answers/failure-groups.ts';
import type { Views } from '../../src/views/views.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { GROUPED_FAILURES, made, startViews } from '../support/queues/test-views.ts';
import { gatedStore } from '../support/store/gated-store.ts';

/** What a person is told, by code. */
function told({ sources }: Views): Readonly<Record<string, string>> {
  return Object.fromEntries(made(attention(sources, null)).map(({ code, text }) => [code, plain(text)]));
}

const BY_ANN = { by: 'ann@host', reason: null, isDryRun: false, expected: null };
const PAUSE = { verb: 'pause', cause: 'manual' } as const;
const COLLECTING = { failureMode: 'collect', retry: { ...RETRY_DEFAULT, triesMax: 1 } } as const;

test('a consumer whose strategy excludes what waits is told, in the singular', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  await world.insert('a', 1, { strategicMetadata: new Map([['kind', 1n]]) });
  world.consumer().reserve(1, Strategy.selectOnly('kind', [2], Strategy.oldest()));
  await world.settle();
  assert.equal(
    told(views).consumers_idle,
    '1 consumer has nothing to do: it takes only kind=2; the only chunk that waits has kind=1',
  );
  views.stop();
});

test('consumers that take other work are counted by what they take, beside what the waiting work has', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  for (const kind of [1n, 2n])
    await world.insert(`kind ${kind}`, 900, { strategicMetadata: new Map([['kind', kind]]) });
  await world.insert('neither', 10);
  world.consumer().reserve(1, Strategy.selectOnly('kind', [3, 4], Strategy.oldest()));
  await world.settle();
  const having = 'the 1,810 chunks that wait have kind=1, kind=2, no kind';
  assert.equal(
    told(views).consumers_idle,
    `1 consumer has nothing to do: it takes only kind=3 or kind=4; ${having}`,
  );
  for (let i = 0; i < 2; i++)
    world.consumer().reserve(1, Strategy.selectOnly('kind', [5], Strategy.newest()));
  await world.settle();
  assert.equal(
    told(views).consumers_idle,
    `3 consumers have nothing to do: 2 take only kind=5, 1 takes only kind=3 or kind=4; ${having}`,
  );
  views.stop();
});

test('others are said to wait where they are, not where only a part was looked at', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const insert = (name: string, kind: bigint) =>
    world.insert(name, 1, { strategicMetadata: new Map([['kind', kind]]) });
  for (let i = 0; i < 60; i++) await insert(`${i}`, 1n);
  world.consumer().reserve(1, Strategy.selectOnly('kind', [3], Strategy.oldest()));
  await world.settle();
  assert.match(told(views).consumers_idle!, / wait have kind=1$/);
  await insert('other', 2n);
  await world.settle();
  assert.match(told(views).consumers_idle!, / wait have kind=1 and others$/);
  views.stop();
});

test('a store that takes nothing is not blamed on the strategies of those who wait', async () => {
  const gated = gatedStore();
  const world = await QueueWorld.start({ store: gated.store });
  const views = startViews(world);
  await world.insert('a', 3);
  const consumer = world.consumer();
  const [held] = consumer.take();
  gated.shut();
  consumer.complete(held!.chunk);
  await world.passes(5);
  await world.passes(10_000);
  consumer.reserve();
  await world.settle();
  const { hand_out_held: heldText, consumers_idle: idle } = told(views);
  assert.equal(heldText, 'no chunk is handed out until the store takes batches again');
  assert.equal(idle, undefined);
  gated.open();
  views.stop();
});

test('a consumer that is slowed down because it fails is not said to be excluded', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  await world.insert('a', 100);
  const [well, failing] = [world.consumer(), world.consumer()];
  for (let failures = 0; failures < 5; failures++) {
    well.complete(well.take()[0]!.chunk);
    failing.fail(failing.take()[0]!.chunk);
  }
  failing.reserve();
  await world.settle();
  assert.equal(world.queue.counts.consumersSick, 1);
  assert.equal(told(views).consumers_idle, undefined);
  views.stop();
});

test('who paused a queue or the server, and why, is said at once', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  await world.insert('a', 1);
  const request = { by: 'ann@host', reason: 'the disk is replaced', isDryRun: false, expected: null };
  const change = { verb: 'pause', cause: 'manual' } as const;
  await world.queue.verbs.run({ ...request, change, target: { kind: 'queue', queue: '' } });
  assert.equal(told(views).paused_with_work, 'queue - is paused by ann@host (manual): the disk is replaced');
  // Nor is it blamed on the strategies of those who wait.
  world.consumer().reserve();
  await world.settle();
  assert.equal(told(views).consumers_idle, undefined);
  views.stop();
});

test('the only submission that is paused is named, with who paused it and why', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  await world.insert('a', 1);
  const id = await world.insert('b', 3);
  const request = { by: 'ann@host', reason: 'their bucket moves', isDryRun: false, expected: null };
  const change = { verb: 'pause', cause: 'manual' } as const;
  await world.queue.verbs.run({
    ...request,
    change,
    target: { kind: 'submissions', ids: [id], queue: null },
  });
  assert.equal(
    told(views).paused_with_work,
    `submission ${id} (b) with 3 chunks is paused by ann@host (manual): their bucket moves`,
  );
  views.stop();
});

test('of very many submissions the newest are looked at for what is paused, and all that are paused are counted', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const about = { strategicMetadata: new Map([['customer', 42n]]) };
  const inserts = Array.from({ length: 3_000 }, (_, i) => world.insert(`${i}`, 1, about));
  await world.passes(10);
  const ids = await Promise.all(inserts);
  const pause = async (paused: readonly bigint[]) => {
    const target = { kind: 'submissions', ids: paused, queue: null } as const;
    await world.queue.verbs.run({ ...BY_ANN, change: PAUSE, target });
  };
  const seen = () => {
    const computation = attention(views.sources, null);
    let steps = 0;
    for (;;) {
      const step = computation.next();
      steps++;
      if (step.done !== true) continue;
      const found = step.value.find(({ code }) => code === 'paused_with_work');
      return {
        steps,
        text: plain(found?.text ?? ''),
        named: found?.submissions.length,
        metadata: found?.metadata,
      };
    }
  };
  const { steps } = seen();
  for (const [many, text] of [
    [1, '1 submission with 1 chunk is paused, or has not begun'],
    [1_000, '1,000 submissions with 1,000 chunks are paused, or have not begun'],
  ] as const) {
    await pause(ids.slice(0, many));
    const { steps: more, ...told } = seen();
    assert.deepEqual(told, { text, named: 0, metadata: {} });
    assert.ok(more - steps < 40, `${more} steps, ${steps} where nothing is paused`);
  }
  await pause(ids.slice(-2));
  const { text, named, metadata } = seen();
  assert.deepEqual(
    [text, named, metadata],
    ['1,002 submissions with 1,002 chunks are paused, or have not begun', 2, {}],
  );
  views.stop();
});

test('failures count once three of a submission came within a minute, and are forgotten after it', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  const id = await world.insert('a', 3, { strategicMetadata: new Map([['customer', 42n]]) });
  const consumer = world.consumer();
  const fail = (operation: number) =>
    consumer.fail(
      consumer.take()[0]!.chunk,
      `OperationError: operation ${operation} (of 10) failed\nCaused by: TypeError: invoice ${operation} has no address`,
    );
  fail(0);
  fail(1);
  await world.settle();
  assert.equal(told(views).failing, undefined);
  fail(2);
  await world.settle();
  const failing = made(attention(views.sources, null)).find(({ code }) => code === 'failing');
  assert.equal(
    failing?.text,
    `3 tries of submission ${id} (customer 42, a) failed in the last minute, the latest: TypeError: invoice 2 has no address`,
  );
  assert.deepEqual(failing.submissions, [
    { id: String(id), queue: '-', prefix: 'a', metadata: { customer: '42' } },
  ]);
  assert.deepEqual([failing.metadata, failing.count], [{ customer: '42' }, 1]);
  const { at: _at, ...example } = failing.example!;
  assert.deepEqual(example, {
    submission: String(id),
    chunk: 0,
    text: 'TypeError: invoice 2 has no address',
  });
  // It leads to those alone.
  const fingerprint = new URLSearchParams(failing.link.split('?')[1]).get('fingerprint');
  assert.equal(made(failures(views.sources, { ...GROUPED_FAILURES, fingerprint })).items.length, 1);
  world.clock.advance(61_000);
  assert.equal(told(views).failing, undefined);
  views.stop();
});

test('what fails in several ways is told apart, each with what its submissions share', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  const consumer = world.consumer();
  for (const customer of [41n, 42n]) {
    for (const job of [1n, 2n]) {
      const id = await world.insert(`${customer}-${job}`, 1, {
        strategicMetadata: new Map([
          ['customer', customer],
          ['job', job],
        ]),
      });
      for (let i = 0; i < 3; i++) {
        const [held] = consumer.take();
        consumer.fail(held!.chunk, customer === 42n ? 'TypeError: no address' : 'RangeError: too long');
      }
      // It is set aside for the next one.
      await world.queue.verbs.run({
        ...BY_ANN,
        change: PAUSE,
        target: { kind: 'submissions', ids: [id], queue: null },
      });
    }
  }
  await world.settle();
  const found = made(attention(views.sources, null)).filter(({ code }) => code === 'failing');
  assert.deepEqual(found.map(({ text }) => text).toSorted(), [
    '6 tries of 2 submissions, all with customer 41, failed in the last minute, the latest: RangeError: too long',
    '6 tries of 2 submissions, all with customer 42, failed in the last minute, the latest: TypeError: no address',
  ]);
  const paused = told(views).paused_with_work;
  assert.equal(paused, '4 submissions with 4 chunks are paused, or have not begun');
  views.stop();
});

test('of very many failures those that read alike are counted at once, of the others some at a time', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  const consumer = world.consumer();
  await world.insert('a', 1);
  const fails = (count: number, textOf: (i: number) => string) => {
    for (let i = 0; i < count; i++) consumer.fail(consumer.take()[0]!.chunk, textOf(i));
  };
  const tries = () =>
    made(attention(views.sources, null)).flatMap(({ code, text }) =>
      code === 'failing' ? [plain(text).split(' of ')[0]] : [],
    );
  fails(600, () => 'disk full');
  assert.deepEqual(tries(), ['600 tries']);
  fails(1_000, (i) => `no object ${i}`);
  assert.deepEqual(tries(), ['at least 600 tries', 'at least 256 tries']);
  assert.deepEqual(tries(), ['at least 600 tries', 'at least 512 tries']);
  assert.deepEqual(tries(), ['at least 768 tries', 'at least 600 tries']);
  assert.deepEqual(tries(), ['1,000 tries', '600 tries']);
  views.stop();
});

test('a submission that failed in the night is told in the morning, with how many are like it and whose', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const consumer = world.consumer();
  const ids: bigint[] = [];
  const ends = async (customer: bigint, failed: number) => {
    const fields = { ...COLLECTING, strategicMetadata: new Map([['customer', customer]]) };
    ids.push(await world.insert(`bills-${ids.length}`, 3, fields));
    for (let chunk = 0; chunk < 3; chunk++) {
      const [held] = consumer.take();
      if (chunk < failed) consumer.fail(held!.chunk, `TypeError: invoice ${chunk} has no address`);
      else consumer.complete(held!.chunk);
    }
    await world.passes(1_000);
  };
  const found = () =>
    made(attention(views.sources, null))
      .filter(({ code }) => code === 'submissions_failed')
      .map((each) => ({ ...each, text: plain(each.text) }));
  await ends(41n, 0);
  assert.deepEqual(found(), []);
  await ends(42n, 3);
  const [one] = found();
  assert.deepEqual([one?.severity, one?.link], ['warning', `submissions/${ids[1]}`]);
  assert.equal(
    one?.text,
    `submission ${ids[1]} (customer 42, bills-1) ended 1.0 s ago, all 3 chunks failed: TypeError: invoice 0 has no address`,
  );
  // Its tries are not told a second time.
  assert.equal(told(views).failing, undefined);
  await ends(42n, 2);
  await world.passes(6 * 3_600_000);
  const [two] = found();
  assert.equal(
    two?.text,
    '2 submissions, all with customer 42, ended with 5 failed chunks, the last one 6 h ago: TypeError: invoice 0 has no address',
  );
  assert.deepEqual([two?.severity, two?.count, two?.metadata], ['info', 2, { customer: '42' }]);
  // Whoever follows the link finds both.
  const link = new URLSearchParams(two!.link.split('?')[1]);
  assert.deepEqual([link.get('state'), link.getAll('meta')], ['completed_with_failures', ['customer:42']]);
  assert.ok(Date.parse(link.get('ended_after')!) < world.clock.nowMs());
  // One that is retried has not failed any more.
  const target = { kind: 'submissions', ids: [ids[2]!], queue: null } as const;
  await world.queue.verbs.run({ ...BY_ANN, change: { verb: 'retry' }, target });
  await world.settle();
  assert.match(
    found()[0]!.text,
    /^submission \d+ \(customer 42, bills-1\) ended 6 h ago, all 3 chunks failed/,
  );
  await world.passes(6 * 3_600_000);
  assert.deepEqual(found(), []);
  views.stop();
});

test('what failed and is no longer kept is told with its error, and leads to the failures', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 0, retentionIntervalMs: 2 ** 40 });
  const views = startViews(world);
  let inserted = 0;
  const fails = async (text: string) => {
    const id = await world.insert(`bills-${inserted++}`, 1);
    const consumer = world.consumer();
    consumer.fail(consumer.take()[0]!.chunk, text);
    await world.passes(1_000);
    return id;
  };
  const found = () =>
    made(attention(views.sources, null))
      .filter(({ code }) => code === 'submissions_failed')
      .map(({ text, link }) => ({ text: plain(text), link }));
  const shown = (link: string) => {
    const [view, query] = link.split('?');
    assert.equal(view, 'failures');
    const { submission, queue, fingerprint } = Object.fromEntries(new URLSearchParams(query));
    const id = submission === undefined ? null : BigInt(submission);
    const ofQueue = queue === '-' ? '' : (queue ?? null);
    const asked = { ...GROUPED_FAILURES, queue: ofQueue, submission: id, fingerprint: fingerprint ?? null };
    return made(failures(views.sources, asked)).items.map((item) => 'title' in item && item.title);
  };
  const id = await fails('Error: gone');
  await world.passes(2 * 3_600_000);
  assert.equal(found()[0]?.link, `submissions/${id}`);
  await world.queue.retention.runOnce();
  assert.equal(await world.stateOf(id), 'unknown');
  const [one] = found();
  assert.equal(one?.text, `submission ${id} (bills-0) failed 2 h ago, and is no longer kept: Error: gone`);
  assert.deepEqual(shown(one!.link), ['Error: gone']);
  for (let i = 0; i < 2; i++) await fails('Error: full');
  await world.passes(2 * 3_600_000);
  await world.queue.retention.runOnce();
  const [two] = found();
  assert.equal(two?.text, '2 submissions failed, the last one 2 h ago, and are no longer kept: Error: full');
  assert.deepEqual(shown(two!.link), ['Error: full']);
  // Those that are still kept lead to the list.
  const kept = await fails('Error: gone');
  assert.deepEqual(
    found().map(({ link }) => link.split('?')[0]),
    [`submissions/${kept}`, 'failures', 'failures'],
  );
  views.stop();
});

test('of a submission that failed by a chunk its error is told, and of very many the latest', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 0 });
  const views = startViews(world);
  const consumer = world.consumer();
  for (let i = 0; i < 510; i++) {
    await world.insert(`${i}`, 1);
    consumer.fail(consumer.take()[0]!.chunk, 'Error: gone');
  }
  await world.settle();
  assert.equal(
    told(views).submissions_failed,
    'at least 500 submissions failed, the last one just now: Error: gone',
  );
  views.stop();
});

test('connections that were refused are counted, with who refused them and what for', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world, { connectionsRejected: () => ({ limit: 2, error: 1, descriptors: 0 }) });
  assert.equal(
    told(views).clients_refused,
    '3 connections were refused by 10.0.0.1:3999 since its start: 2 at the limit of connections (--max-connections), 1 for an error of the system',
  );
  assert.equal(told(startViews(world)).clients_refused, undefined);
  views.stop();
});

test('consumers of a queue that was taken over are given some seconds before they are missed', async () => {
  const before = await QueueWorld.start();
  await before.insert('a', 3);
  const world = await QueueWorld.start({ store: before.store });
  const views = startViews(world);
  world.clock.advance(1_000);
  assert.equal(
    told(views).no_consumers,
    '3 chunks wait: the queue was taken over, or started, 1.0 s ago, and its consumers have not come back yet',
  );
  world.clock.advance(5_000);
  assert.equal(told(views).no_consumers, '3 chunks wait, and no consumer is connected');
  views.stop();
});
