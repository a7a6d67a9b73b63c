import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CAUSE_DEFAULT, NO_CONTROL, PAUSES_MAX } from '../../src/model/control.ts';
import { QUEUES_MAX } from '../../src/model/limits.ts';
import type { Change, FilterState, VerbAnswer, VerbRequest, VerbTarget } from '../../src/model/verbs.ts';
import type { QueueOptions } from '../../src/queue/assemble.ts';
import { StoreError } from '../../src/store/errors.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { QueueWorld, type WorldConsumer } from '../support/queues/queue-world.ts';
import { faultyStore } from '../support/store/faulty-store.ts';
import { gatedStore } from '../support/store/gated-store.ts';

const PAUSE: Change = { verb: 'pause', cause: CAUSE_DEFAULT };
const RESUME: Change = { verb: 'resume', cause: CAUSE_DEFAULT };
const SERVER: VerbTarget = { kind: 'server' };

function ids(...each: bigint[]): VerbTarget {
  return { kind: 'submissions', ids: each, queue: null };
}

function matching(fields: Partial<Extract<VerbTarget, { kind: 'matching' }>> = {}): VerbTarget {
  return { kind: 'matching', metadata: new Map(), state: 'open', queue: null, ...fields };
}

async function run(world: QueueWorld, change: Change, target: VerbTarget, more: Partial<VerbRequest> = {}) {
  const request = { change, target, by: 'ann@host', reason: null, isDryRun: false, expected: null, ...more };
  const answer = world.queue.verbs.run(request);
  answer.catch(() => {});
  await world.settle();
  return answer;
}

/** A world, and the next one on what is on disk. */
function restarts(options: Partial<QueueOptions> = {}): () => Promise<QueueWorld> {
  const database = new MemoryDatabase();
  return () => QueueWorld.start({ store: new MemoryStore({ database }), ...options });
}

/** What still holds what the verb was for, by scope. */
const heldBy = ({ holds }: VerbAnswer) => holds.map(({ of }) => of);

/** Chunks since the last look. */
function handedOut(consumer: WorldConsumer): number {
  return consumer.takeChunks().length;
}

test('a pause holds over a restart, with who, when and why, until it is resumed', async () => {
  const start = restarts();
  let world = await start();
  const id = await world.insert('p', 3);
  const answer = await run(world, PAUSE, ids(id), { reason: 'disk is full' });
  assert.deepEqual(answer, {
    verb: 'pause',
    isDryRun: false,
    matched: 1,
    done: 1,
    unchanged: 0,
    stillPaused: 1,
    holds: [
      {
        of: 'submission',
        queue: null,
        submissions: 1,
        cause: 'manual',
        by: 'ann@host',
        reason: 'disk is full',
        sinceMs: world.clock.nowMs(),
      },
    ],
    ids: [id],
    skipped: [],
  });
  const pausedAtMs = world.clock.nowMs();
  await world.stop();
  world = await start();
  const consumer = world.consumer();
  consumer.reserve(1);
  await world.settle();
  assert.equal(handedOut(consumer), 0);
  const status = await world.queue.reads.status('', id);
  assert.deepEqual(status?.record.control?.pauses, [
    { cause: 'manual', by: 'ann@host', reason: 'disk is full', sinceMs: pausedAtMs },
  ]);
  assert.deepEqual(
    status?.record.control?.history.map(({ verb, by, reason }) => [verb, by, reason]),
    [['pause', 'ann@host', 'disk is full']],
  );
  assert.equal((await run(world, RESUME, ids(id))).stillPaused, 0);
  assert.equal(handedOut(consumer), 1);
  await world.stop();
});

test('each cause is resumed by itself, the queue and the server apart from the submission', async () => {
  const start = restarts();
  let world = await start();
  const id = await world.insert('p', 3);
  const disk: Change = { verb: 'pause', cause: 'disk' };
  await run(world, PAUSE, ids(id));
  assert.equal((await run(world, disk, ids(id), { by: 'monitor' })).done, 1);
  assert.equal((await run(world, disk, ids(id), { by: 'other' })).unchanged, 1);
  await run(world, PAUSE, { kind: 'queue', queue: '' });
  await run(world, PAUSE, SERVER);
  await world.stop();
  world = await start();
  const consumer = world.consumer();
  consumer.reserve(1);
  // The disk recovers: what a person paused stays paused.
  const recovered = await run(world, { verb: 'resume', cause: 'disk' }, ids(id));
  assert.deepEqual([recovered.stillPaused, heldBy(recovered)], [1, ['submission', 'queue', 'server']]);
  assert.equal((await run(world, { verb: 'resume', cause: 'disk' }, ids(id))).unchanged, 1);
  assert.deepEqual(heldBy(await run(world, PAUSE, { kind: 'queue', queue: '' })), ['queue', 'server']);
  assert.deepEqual(heldBy(await run(world, RESUME, SERVER)), []);
  const resumed = await run(world, RESUME, ids(id));
  assert.deepEqual([resumed.done, heldBy(resumed)], [1, ['queue']]);
  assert.equal(handedOut(consumer), 0);
  await run(world, RESUME, { kind: 'queue', queue: '' });
  assert.equal(handedOut(consumer), 1);
  await world.stop();
});

test('a queue stays paused while it is not in use, and one paused before its first use begins paused', async () => {
  const start = restarts();
  let world = await start();
  assert.equal((await run(world, PAUSE, { kind: 'queue', queue: 'images' })).done, 1);
  await world.stop();
  world = await start();
  const images = world.consumer(undefined, { queueName: 'images' });
  const bills = world.consumer(undefined, { queueName: 'bills' });
  images.reserve(1);
  bills.reserve(1);
  await Promise.all([
    world.insert('i', 1, { queue: 'images' }),
    world.insert('b', 1, { queue: 'bills' }),
    world.settle(),
  ]);
  assert.deepEqual([handedOut(images), handedOut(bills)], [0, 1]);
  await run(world, { verb: 'resume', cause: null }, { kind: 'queue', queue: 'images' });
  assert.equal(handedOut(images), 1);
  await world.stop();
});

test('of queues that were paused once, the one untouched for longest is forgotten when there are too many', async () => {
  const start = restarts();
  let world = await start();
  const act = (change: Change, first: number, last: number) => {
    const requests = Array.from({ length: last - first }, (_, i) =>
      world.queue.verbs.run({
        change,
        target: { kind: 'queue', queue: `q${first + i}` },
        by: 'ann@host',
        reason: null,
        isDryRun: false,
        expected: null,
      }),
    );
    return Promise.all([Promise.all(requests), world.settle()]);
  };
  const most = 2 * QUEUES_MAX;
  await act(PAUSE, 0, most);
  await assert.rejects(act(PAUSE, most, most + 1), { code: 'CHANGE_REFUSED' });
  // What changes nothing needs no room.
  await act(RESUME, most, most + 1);
  await world.passes(1);
  await act(RESUME, 7, 8);
  await world.passes(1);
  await act(RESUME, 3, 5);
  await act(PAUSE, most, most + 1);
  await world.passes(1);
  const names = async () => [...(await world.store.scopeControls()).keys()];
  assert.equal((await names()).includes('q7'), false);
  assert.equal((await names()).length, most);
  await world.stop();
  world = await start();
  assert.equal(world.queue.scopesPaused, most - 2);
  await act(PAUSE, most + 1, most + 3);
  await assert.rejects(act(PAUSE, most + 3, most + 4), { code: 'CHANGE_REFUSED' });
  assert.equal((await names()).length, most);
  await world.stop();
});

test('every cause is lifted at once where that is asked for', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('p', 1);
  for (let i = 0; i < PAUSES_MAX; i++) await run(world, { verb: 'pause', cause: `cause-${i}` }, ids(id));
  await assert.rejects(run(world, PAUSE, ids(id)), { code: 'CHANGE_REFUSED' });
  assert.equal((await run(world, { verb: 'resume', cause: null }, ids(id))).stillPaused, 0);
  await world.stop();
});

test('metadata is set pair by pair, and holds over a restart; an insert that is repeated is still the same', async () => {
  const start = restarts();
  let world = await start();
  const inserted = new Map([
    ['customer', 1n],
    ['region', 2n],
  ]);
  const id = await world.insert('p', 1, { strategicMetadata: inserted });
  const strategicMetadata = new Map([
    ['customer', 7n],
    ['region', null],
    ['urgent', 1n],
  ]);
  assert.equal((await run(world, { verb: 'set', strategicMetadata }, ids(id))).done, 1);
  assert.equal((await run(world, { verb: 'set', strategicMetadata }, ids(id))).unchanged, 1);
  await world.stop();
  world = await start();
  const expected = new Map([
    ['customer', 7n],
    ['urgent', 1n],
  ]);
  assert.deepEqual((await world.queue.reads.status('', id))?.record.strategicMetadata, expected);
  assert.deepEqual(world.queue.reads.idsByMetadata('', new Map([['customer', 7n]])), [id]);
  assert.deepEqual(world.queue.reads.idsByMetadata('', new Map([['customer', 1n]])), []);
  const again = world.insert('p', 1, { strategicMetadata: inserted });
  await world.settle();
  assert.equal(await again, id);
  await world.stop();
});

test('a deadline and a start hold over a restart, from the insert or later', async () => {
  const start = restarts();
  let world = await start();
  const nowMs = world.clock.nowMs();
  const early = await world.insert('early', 1, { control: { ...NO_CONTROL, startAfterMs: nowMs + 50_000 } });
  const late = await world.insert('late', 1, { control: { ...NO_CONTROL, deadlineMs: nowMs + 20_000 } });
  const moved = await world.insert('moved', 1);
  await run(world, PAUSE, ids(moved));
  await run(world, { verb: 'set', deadlineMs: nowMs + 30_000 }, ids(moved));
  await world.stop();
  world = await start();
  // The clock of a world begins anew: it is the wall clock that counts.
  world.clock.advance(nowMs + 20_000 - world.clock.nowMs());
  await world.settle();
  const status = await world.queue.reads.status('', late);
  assert.deepEqual(status?.state === 'cancelled' && status.cancellation, {
    by: 'opsqueue',
    reason: 'its deadline passed',
  });
  const consumer = world.consumer();
  consumer.reserve(1);
  await world.passes(10_000);
  assert.equal(await world.stateOf(moved), 'cancelled');
  assert.equal(handedOut(consumer), 0);
  await world.passes(20_000);
  assert.equal(handedOut(consumer), 1);
  assert.equal(await world.stateOf(early), 'in_progress');
  await world.stop();
});

test('submissions are found by pairs, state and queue; a dry run changes nothing', async () => {
  const world = await QueueWorld.start();
  const strategicMetadata = new Map([['customer', 42n]]);
  const first = await world.insert('1', 1, { strategicMetadata });
  const second = await world.insert('2', 1, { strategicMetadata, queue: 'images' });
  const third = await world.insert('3', 1);
  const ofCustomer = matching({ metadata: strategicMetadata });
  assert.deepEqual((await run(world, PAUSE, ofCustomer, { isDryRun: true })).ids, [first, second]);
  assert.deepEqual((await run(world, PAUSE, matching({ queue: 'images' }))).ids, [second]);
  assert.deepEqual((await run(world, PAUSE, matching({ state: 'paused' }))).matched, 1);
  assert.deepEqual((await run(world, PAUSE, ofCustomer)).ids, [first]);
  await assert.rejects(run(world, PAUSE, matching(), { expected: 2 }), {
    code: 'COUNT_CHANGED',
    matched: 3,
    expected: 2,
  });
  assert.deepEqual((await run(world, { verb: 'cancel' }, ofCustomer, { isDryRun: true })).done, 2);
  const cancelled = await run(world, { verb: 'cancel' }, ofCustomer, { reason: 'wrong file' });
  assert.deepEqual(cancelled.ids, [first, second]);
  const status = await world.queue.reads.status('images', second);
  assert.deepEqual(status?.state === 'cancelled' && status.cancellation, {
    by: 'ann@host',
    reason: 'wrong file',
  });
  assert.equal(await world.stateOf(third), 'in_progress');
  await assert.rejects(run(world, PAUSE, ofCustomer), {
    code: 'NOTHING_MATCHES',
    message: /^no open submission matches customer=42: /,
  });
  await world.stop();
});

test('where there is nothing at all the error says so', async () => {
  const world = await QueueWorld.start();
  const message = 'there is no open submission: nothing was changed';
  await assert.rejects(run(world, PAUSE, matching()), { code: 'NOTHING_MATCHES', message });
  await assert.rejects(run(world, { verb: 'retry' }, matching()), {
    message: 'there is no submission with failures: nothing was changed',
  });
});

test('what is paused with its queue or the server is found as paused, not as waiting, and the answer counts for each cause', async () => {
  const world = await QueueWorld.start();
  const first = await world.insert('1', 1);
  const second = await world.insert('2', 1, { queue: 'images' });
  const third = await world.insert('3', 1, { queue: 'images' });
  await run(world, PAUSE, { kind: 'queue', queue: 'images' }, { by: 'monitor' });
  await run(world, PAUSE, ids(third));
  const found = async (state: FilterState) => {
    const answer = run(world, { verb: 'cancel' }, matching({ state }), { isDryRun: true });
    return answer.catch(() => null);
  };
  const paused = await found('paused');
  assert.deepEqual([...(paused?.ids ?? [])].sort(), [second, third]);
  assert.deepEqual(
    paused?.holds.map(({ of, queue, submissions, by }) => [of, queue, submissions, by]),
    [
      ['queue', 'images', 2, 'monitor'],
      ['submission', null, 1, 'ann@host'],
    ],
  );
  assert.deepEqual((await found('waiting'))?.ids, [first]);
  await run(world, PAUSE, SERVER);
  assert.equal((await found('paused'))?.stillPaused, 3);
  assert.equal(await found('waiting'), null);
  await world.stop();
});

test('a retry without a queue finds what failed in queues that nobody uses any more', async () => {
  const start = restarts({ chunkRetriesMax: 1 });
  let world = await start();
  const strategicMetadata = new Map([['customer', 42n]]);
  const failed: bigint[] = [];
  for (const [queue, failureMode] of [
    ['', 'fail'],
    ['bills', 'collect'],
    ['images', 'fail'],
  ] as const) {
    failed.push(await world.insert(`p-${queue}`, 1, { queue, failureMode, strategicMetadata }));
    await world.insert(`q-${queue}`, 1, { queue });
    const consumer = world.consumer(undefined, { queueName: queue });
    for (const { chunk } of consumer.take(2)) consumer.fail(chunk);
    consumer.disconnect(true);
    await world.settle();
  }
  await world.stop();
  world = await start();
  const ofCustomer = matching({ metadata: strategicMetadata });
  const report = await run(world, { verb: 'retry' }, ofCustomer, { isDryRun: true });
  assert.deepEqual([...report.ids].sort(), failed);
  assert.equal((await run(world, { verb: 'retry' }, ofCustomer)).chunks, 3);
  assert.deepEqual(await Promise.all(failed.map((id, i) => world.stateOf(id, ['', 'bills', 'images'][i]))), [
    'in_progress',
    'in_progress',
    'in_progress',
  ]);
  assert.equal((await run(world, { verb: 'retry' }, matching())).matched, 3);
  await world.stop();
});

test('what has ended or is not known is an error alone, and skipped among others', async () => {
  const world = await QueueWorld.start();
  const open = await world.insert('open', 1);
  const ended = await world.insert('ended', 1);
  await run(world, { verb: 'cancel' }, ids(ended));
  await assert.rejects(run(world, PAUSE, ids(ended)), { code: 'SUBMISSION_ENDED' });
  await assert.rejects(run(world, PAUSE, ids(7n)), { code: 'SUBMISSION_NOT_FOUND' });
  // In whatever state it is there.
  for (const id of [open, ended]) {
    for (const verb of ['cancel', 'retry'] as const) {
      await assert.rejects(run(world, { verb }, { kind: 'submissions', ids: [id], queue: 'images' }), {
        code: 'SUBMISSION_NOT_FOUND',
        queue: '',
        message: /: it is in the unnamed queue$/,
      });
    }
  }
  const { done, skipped } = await run(world, PAUSE, ids(open, ended, 7n, open));
  assert.equal(done, 1);
  assert.deepEqual(
    skipped.map(({ id, code }) => [id, code]),
    [
      [ended, 'SUBMISSION_ENDED'],
      [7n, 'SUBMISSION_NOT_FOUND'],
    ],
  );
  await world.stop();
});

test('a deadline in the past is refused, and so is one that is not after the start', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('p', 1);
  const nowMs = world.clock.nowMs();
  const set = (fields: object) => run(world, { verb: 'set', ...fields }, ids(id));
  await assert.rejects(set({ deadlineMs: nowMs }), { code: 'DEADLINE_PASSED' });
  await assert.rejects(set({ deadlineMs: nowMs + 5, startAfterMs: nowMs + 5 }), { code: 'DEADLINE_PASSED' });
  // Nor by itself, beside what was set before.
  await set({ startAfterMs: nowMs + 100 });
  await assert.rejects(set({ deadlineMs: nowMs + 100 }), { code: 'DEADLINE_PASSED' });
  await set({ deadlineMs: nowMs + 200 });
  await assert.rejects(set({ startAfterMs: nowMs + 200 }), { code: 'DEADLINE_PASSED' });
  await set({ startAfterMs: nowMs + 200, deadlineMs: nowMs + 300 });
  await set({ startAfterMs: null, deadlineMs: null });
  const control = { ...NO_CONTROL, deadlineMs: nowMs };
  await assert.rejects(world.insert('late', 1, { control }), { code: 'DEADLINE_PASSED' });
  // What was inserted in time is found again, also after its deadline.
  assert.equal(await world.insert('p', 1, { control }), id);
  // A start that has passed is none.
  await set({ startAfterMs: nowMs - 5 });
  assert.equal(world.queue.counts.submissionsPaused, 0);
  await assert.rejects(run(world, { verb: 'cancel' }, SERVER), { code: 'CHANGE_REFUSED' });
  await world.stop();
});

test('a verb is logged with who, why, and which submissions', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('p', 1);
  await run(world, PAUSE, ids(id), { reason: 'night' });
  await run(world, PAUSE, { kind: 'queue', queue: 'images' });
  const lines = world.log.filter(({ message }) => message.endsWith('paused'));
  assert.deepEqual(
    lines.map(({ message, fields }) => [message, fields]),
    [
      [
        'submissions paused',
        { by: 'ann@host', reason: 'night', detail: 'manual', count: 1, submissions: [String(id)] },
      ],
      ['queue paused', { by: 'ann@host', detail: 'manual', queue: 'images' }],
    ],
  );
  await world.stop();
});

test('a store that is lost while thousands are cancelled refuses the verb, and nothing else comes of it', async () => {
  let isFenced = false;
  const inner = new MemoryStore();
  const store = faultyStore(inner, () => 'none');
  const commit = store.commit.bind(store);
  store.commit = (batch) =>
    isFenced
      ? Promise.resolve({ kind: 'fenced', error: new StoreError('fenced', 'another queue has it') })
      : commit(batch);
  const world = await QueueWorld.start({ store });
  const inserts = Array.from({ length: 3_000 }, (_, i) => world.insert(`p${i}`, 1));
  await world.settle();
  await Promise.all(inserts);
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  try {
    isFenced = true;
    await assert.rejects(run(world, { verb: 'cancel' }, matching()), { code: 'QUEUE_UNAVAILABLE' });
    await world.settle();
    assert.deepEqual(unhandled, []);
  } finally {
    process.off('unhandledRejection', note);
  }
});

test('what a verb is for is looked for among thousands in turns, and what comes and goes meanwhile does no harm', async () => {
  const world = await QueueWorld.start();
  const inserts = Array.from({ length: 5_000 }, (_, i) => world.insert(`p${i}`, 1));
  await world.settle();
  const all = await Promise.all(inserts);
  await run(world, PAUSE, ids(all[4_500]!));
  let isAnswered = false;
  const resumed = world.queue.verbs
    .run({
      change: RESUME,
      target: matching({ state: 'paused' }),
      by: 'ann@host',
      reason: null,
      isDryRun: true,
      expected: null,
    })
    .finally(() => {
      isAnswered = true;
    });
  await new Promise((resolve) => setImmediate(resolve));
  for (const id of [all[0]!, all[4_000]!, all.at(-1)!])
    world.consumer().complete({ submissionId: id, chunkIndex: 0 });
  const late = world.insert('late', 1);
  let turns = 1;
  for (; !isAnswered; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(turns >= 3, `${turns} turns`);
  assert.equal((await resumed).done, 1);
  await late;
  await world.stop();
});

test('a verb for thousands lets others have their turns', async () => {
  const world = await QueueWorld.start();
  const inserts = Array.from({ length: 1_000 }, (_, i) => world.insert(`p${i}`, 1));
  await world.settle();
  await Promise.all(inserts);
  const paused = world.queue.verbs.run({
    change: PAUSE,
    target: matching(),
    by: 'ann@host',
    reason: null,
    isDryRun: false,
    expected: null,
  });
  assert.ok(world.queue.counts.submissionsPaused < 1_000);
  await world.settle();
  assert.equal((await paused).done, 1_000);
  assert.equal(world.queue.counts.chunksPaused, 1_000);
  await world.stop();
});

test('what is so already is answered after the commit that made it so', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({ store: gate.store, chunkRetriesMax: 1 });
  const id = await world.insert('a', 2, { failureMode: 'collect' });
  const consumer = world.consumer();
  consumer.fail(consumer.take(1)[0]!.chunk);
  await world.settle();
  gate.shut();
  for (const [change, target] of [
    [PAUSE, { kind: 'queue', queue: '' }],
    [PAUSE, SERVER],
    [PAUSE, ids(id)],
    [{ verb: 'retry' }, ids(id)],
  ] as const) {
    const answers: number[] = [];
    const asked = [1, 2].map(async () => void answers.push((await run(world, change, target)).done));
    await world.settle();
    assert.deepEqual(
      answers,
      [],
      JSON.stringify([change, target], (_, value) => String(value)),
    );
    gate.open();
    await Promise.all(asked);
    assert.deepEqual(answers, [1, 0]);
    gate.shut();
  }
  gate.open();
});
