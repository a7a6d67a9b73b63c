import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plain } from '../../src/cli/text.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { adviceWithCommand, WHY_CODES, type WhyCode } from '../../src/protocol/api/why.ts';
import { comesFirst, exclusionOf } from '../../src/views/answers/eligible.ts';
import { takingInWords } from '../../src/views/answers/excluded.ts';
import { why } from '../../src/views/answers/why.ts';
import { finalCheck, type Situation, whyChecks } from '../../src/views/answers/why-checks.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';

/** Of a submission that runs. */
const RUNS: Situation = {
  submission: { id: '7', isEnding: false, pauses: [], startsInMs: 0 },
  isReady: true,
  storeStuck: null,
  queuePauses: [],
  submissionsOpen: 3,
  withheld: null,
  waiting: 10,
  reserved: 2,
  delayed: 0,
  nextTryMs: null,
  lastFailure: null,
  failedInVain: 0,
  longestHeld: { chunk: '7', heldMs: 500, by: '10.0.0.1 (c1)', stragglerAfterMs: 10_000 },
  consumers: 5,
  consumersWorking: 4,
  consumersWaiting: 1,
  consumersFull: 0,
  lastConsumer: null,
  takenOverForMs: null,
  excluded: null,
  outranked: null,
  rate: 4,
  ownRate: 2.5,
  usualMs: 300,
};
const PAUSE = { by: 'ann', cause: 'manual', reason: 'wrong input' };
const ALL = { ...RUNS, submission: null };

/** The verdict, with its words and its advice. */
function judged(situation: Situation): readonly [WhyCode, string, string | null] {
  const checks = whyChecks(situation);
  const { ok, ...last } = finalCheck(checks);
  const { code, evidence } = last;
  const advice = adviceWithCommand(last);
  // In the order of the table, all of them fine before the last one.
  assert.deepEqual(
    checks.map((check) => check.code),
    WHY_CODES.slice(0, checks.length),
  );
  assert.deepEqual(
    checks.map((check) => check.ok),
    [...Array<boolean>(checks.length - 1).fill(true), ok],
  );
  assert.equal(ok, code === 'running');
  for (const check of checks) assert.ok(check.evidence.length > 0, check.code);
  return [code, plain(evidence), advice === null ? null : plain(advice)];
}

test('what runs is said to run, at its pace', () => {
  assert.deepEqual(judged(RUNS), ['running', 'it runs: 2.5 chunks a second, 2 in flight, 10 wait', null]);
  const large = judged({ ...RUNS, ownRate: 12_345.6, reserved: 1_200, waiting: 1 });
  assert.equal(large[1], 'it runs: 12,346 chunks a second, 1,200 in flight, 1 waits');
  const quiet = judged({ ...RUNS, ownRate: 0 });
  assert.equal(quiet[1], 'nothing keeps it from running: 2 chunks are in flight, 10 wait');
});

test('a server that stops comes before everything', () => {
  assert.equal(judged({ ...RUNS, isReady: false, queuePauses: [PAUSE] })[0], 'stopping');
});

test('a store that is stuck is named with its error and since when', () => {
  const storeStuck = { forMs: 90_000, error: 'database or disk is full', isFull: true };
  const [code, evidence, advice] = judged({ ...RUNS, storeStuck });
  assert.match(advice!, /^free space on the disk/);
  assert.match(judged({ ...RUNS, storeStuck: { ...storeStuck, isFull: false } })[2]!, /^look at the disk/);
  assert.deepEqual(
    [code, evidence],
    ['store_stuck', 'the store has taken nothing for 1 min 30 s: database or disk is full'],
  );
});

test('pauses are told with who paused, of the queue before those of the submission', () => {
  const submission = { id: '7', isEnding: false, pauses: [PAUSE], startsInMs: 0 };
  assert.deepEqual(judged({ ...RUNS, submission }).slice(0, 2), [
    'submission_paused',
    'it is paused by ann (manual): wrong input',
  ]);
  const upgrade = { by: 'bob', cause: 'upgrade', reason: null };
  assert.deepEqual(judged({ ...RUNS, submission, queuePauses: [upgrade] }).slice(0, 2), [
    'queue_paused',
    'the queue or the server is paused by bob (upgrade)',
  ]);
});

async function paused(chunkCounts: readonly number[]) {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  const ids: bigint[] = [];
  for (const count of chunkCounts) ids.push(await world.insert(`p${ids.length}`, count));
  const consumer = world.consumer();
  const pause = (id: bigint, by: string, cause = 'manual') =>
    world.queue.verbs.run({
      by,
      reason: null,
      isDryRun: false,
      expected: null,
      change: { verb: 'pause', cause },
      target: { kind: 'submissions', ids: [id], queue: null },
    });
  const told = () => {
    const computing = why(views.sources, { submission: null, queue: '' });
    assert.ok('next' in computing);
    const { ok, verdict, text, advice, command } = made(computing);
    return { ok, verdict, text, advice, command };
  };
  return { world, views, ids, consumer, pause, told };
}

test('work that is paused submission by submission does not run: how much, by whom, and what is still in flight', async () => {
  const { world, views, ids, consumer, pause, told } = await paused([5, 3]);
  const [a, b] = ids as [bigint, bigint];
  for (let i = 0; i < 2; i++) consumer.complete(consumer.take()[0]!.chunk);
  const [held] = consumer.take();
  assert.equal(told().verdict, 'running');
  await pause(b, 'maria');
  assert.equal(told().verdict, 'running');
  await pause(a, 'maria');
  await world.settle();
  assert.deepEqual(told(), {
    ok: false,
    verdict: 'submission_paused',
    text: 'all open work (2 submissions, 5 chunks) is paused by maria (manual); 1 chunk is still in flight',
    advice: 'resume those that may go on',
    command: 'opsqueue ls --state paused',
  });
  consumer.complete(held!.chunk);
  await world.passes(90_000);
  assert.equal(told().text, 'all open work (2 submissions, 5 chunks) is paused by maria (manual)');
  await pause(b, 'ann', 'upgrade');
  await world.settle();
  assert.equal(told().text, 'all open work (2 submissions, 5 chunks) is paused');
  views.stop();
});

test('of one that is paused beside others with nothing to hand out, too', async () => {
  const { world, views, ids, consumer, pause, told } = await paused([1, 4]);
  consumer.take();
  await pause(ids[1]!, 'maria');
  await world.settle();
  assert.deepEqual(told(), {
    ok: false,
    verdict: 'submission_paused',
    text: 'all that is left to hand out (1 submission, 4 chunks) is paused by maria (manual); 1 chunk is still in flight',
    advice: 'resume it',
    command: `opsqueue resume ${ids[1]}`,
  });
  views.stop();
});

test('work that waits for its start is said to, where nothing else is left', () => {
  const withheld = {
    submissions: 1,
    chunks: 9,
    submissionsPaused: 0,
    only: '7',
    pausedBy: '',
    startsInMs: 60_000,
  };
  assert.deepEqual(judged({ ...ALL, waiting: 0, reserved: 0, submissionsOpen: 1, withheld }), [
    'not_started',
    'all open work (1 submission, 9 chunks) has not begun, as was asked: it starts in 1 min',
    'wait, or let it start now (opsqueue set 7 --start-after none)',
  ]);
});

test('without open work there is nothing to do', () => {
  assert.equal(judged({ ...ALL, submissionsOpen: 0 })[0], 'nothing_open');
  assert.equal(judged(ALL)[0], 'running');
});

test('a start that is to come, and an end that waits for its commit', () => {
  const submission = { id: '7', isEnding: false, pauses: [], startsInMs: 3 * 3_600_000 };
  assert.deepEqual(judged({ ...RUNS, submission }).slice(0, 2), ['not_started', 'it starts in 3 h']);
  assert.equal(
    judged({ ...RUNS, submission: { ...submission, startsInMs: 0, isEnding: true } })[0],
    'end_uncommitted',
  );
});

test('where every try fails that is the verdict, whatever else is so at the moment, as long as there are consumers', () => {
  const lastFailure = 'no postal address';
  for (const moment of [{}, { waiting: 0 }, { reserved: 0, waiting: 0, delayed: 4 }]) {
    const failing = { ...RUNS, ...moment, failedInVain: 4, lastFailure };
    assert.deepEqual(judged(failing), [
      'all_fail',
      'all 4 tries of the last minute failed; the last failure: no postal address',
      'see why they fail (opsqueue failures 7)',
    ]);
    assert.notEqual(judged({ ...failing, failedInVain: 2 })[0], 'all_fail');
  }
  assert.equal(judged({ ...RUNS, failedInVain: 4, consumers: 0 })[0], 'no_consumers');
});

test('a submission of which chunks were done in the last seconds runs, also while none is in flight', () => {
  const between = { ...RUNS, reserved: 0, consumersWaiting: 0 };
  assert.equal(judged(between)[0], 'running');
  assert.equal(judged({ ...between, ownRate: 0 })[0], 'consumers_busy');
});

test('what is left is in the hands of consumers: the one held longest is named, and told as a straggler', () => {
  const held = { ...RUNS, waiting: 0 };
  const [code, evidence, advice] = judged(held);
  assert.equal(code, 'all_reserved');
  assert.match(
    evidence,
    /^all 2 chunks that are left .* chunk 7 is held longest, for 500 ms, by 10\.0\.0\.1 \(c1\)$/,
  );
  assert.equal(advice, 'wait until they are done');
  const longestHeld = { ...RUNS.longestHeld!, heldMs: 60_000 };
  assert.match(judged({ ...held, longestHeld })[2] ?? '', /^that is a straggler/);
});

test('what is left waits for its next try, and the last failure is quoted', () => {
  const delayed = { ...RUNS, waiting: 0, delayed: 3, nextTryMs: 4_000, lastFailure: 'Error: no address' };
  const [code, evidence] = judged(delayed);
  assert.equal(code, 'all_delayed');
  assert.match(evidence, /all 3 chunks .* the first in 4\.0 s; the last failure: Error: no address$/);
});

test('without consumers the last one is remembered', () => {
  const alone = { ...RUNS, reserved: 0, consumers: 0, consumersWorking: 0, consumersWaiting: 0 };
  assert.match(judged(alone)[1], /no consumer is connected to this queue; none was since the start/);
  const lastConsumer = { goneForMs: 130_000, text: '10.0.0.9, its connection broke' };
  const [code, evidence] = judged({ ...alone, lastConsumer });
  assert.equal(code, 'no_consumers');
  assert.match(evidence, /the last one went 2 min 10 s ago: 10\.0\.0\.9, its connection broke$/);
  // Those of a queue that has just been taken over need a moment.
  const [, early, advice] = judged({ ...alone, waiting: 3, takenOverForMs: 1_200 });
  assert.match(
    early,
    /^3 chunks wait: the queue was taken over, or started, 1\.2 s ago, and its consumers have not come back yet$/,
  );
  assert.match(advice!, /^wait/);
  assert.match(judged({ ...alone, takenOverForMs: 5_000 })[1], /no consumer is connected/);
});

test('consumers that all exclude it are said to, unless some of it is in flight, or one does not', () => {
  const excluded = {
    consumers: 5,
    taking: 'only kind=1',
    takings: '5 take only kind=1',
    having: 'kind=2',
    isAtLimit: false,
  };
  const idle = { ...RUNS, reserved: 0, ownRate: 0, excluded };
  assert.match(judged(idle)[1], /^all 5 consumers take only kind=1; it has kind=2$/);
  assert.match(
    judged(idle)[2]!,
    /^start consumers that take kind=2, or change its metadata \(opsqueue set 7 /,
  );
  const atLimit = { ...excluded, taking: 'at most 8 chunks with kind=2 at once', isAtLimit: true };
  assert.match(judged({ ...idle, excluded: atLimit })[2]!, /^wait until fewer are in flight/);
  assert.notEqual(judged({ ...idle, reserved: 1 })[0], 'excluded');
  assert.notEqual(judged({ ...idle, excluded: { ...excluded, consumers: 4 } })[0], 'excluded');
});

test('consumers that hold as much as they may', () => {
  const held = { ...RUNS, reserved: 0, ownRate: 0 };
  assert.equal(judged({ ...held, consumersFull: 5 })[0], 'consumers_full');
  assert.notEqual(judged({ ...held, consumersFull: 4 })[0], 'consumers_full');
});

test('what comes before it is counted, and when its turn is at the present rate', () => {
  const outranked = { chunks: 9_600, submissions: 3, strategy: 'newest', consumers: 4 };
  const [code, evidence] = judged({ ...RUNS, reserved: 0, ownRate: 0, outranked });
  assert.equal(code, 'outranked');
  assert.equal(
    evidence,
    '9,600 chunks of 3 submissions come first under newest, which 4 consumers use, at the present rate its turn is in 40 min',
  );
});

test('consumers that are all busy with other work', () => {
  const [code, evidence] = judged({ ...RUNS, reserved: 0, ownRate: 0, consumersWaiting: 0 });
  assert.equal(code, 'consumers_busy');
  assert.match(evidence, /a chunk takes them 300 ms, and they complete 4\.0 chunks a second$/);
});

test('a strategy excludes what it does not select, and what is at its limit, however it is nested', () => {
  const submission = {
    pairs: new Map([['kind', 2n]]),
    inFlight: (key: string, value: bigint) => (key === 'kind' && value === 2n ? 8 : 0),
  };
  for (const [strategy, wanted] of [
    [Strategy.oldest(), null],
    [Strategy.preferDistinct('kind', Strategy.newest()), null],
    [Strategy.selectOnly('kind', [2]), null],
    [Strategy.selectOnly('kind', [1]), /^only kind=1$/],
    [Strategy.selectOnly('other', [1]), /^only other=1$/],
    [Strategy.selectExcept('kind', [2]), /^nothing with kind=2$/],
    [Strategy.selectExcept('other', [2]), null],
    [Strategy.maxSimultaneous('kind', 8), /^at most 8 chunks with kind=2 at once, and 8 are in flight$/],
    [Strategy.maxSimultaneous('kind', 9), null],
    [Strategy.priority('urgency', Strategy.selectOnly('kind', [1])), /^only kind=1$/],
    [Strategy.orElse(Strategy.selectOnly('kind', [1]), Strategy.oldest()), null],
    [Strategy.orElse(Strategy.selectOnly('kind', [1]), Strategy.selectExcept('kind', [2])), /^only kind=1$/],
  ] as const) {
    const found = exclusionOf(strategy, submission);
    if (wanted === null) assert.equal(found, null, Strategy.toText(strategy));
    else assert.match(found === null ? '' : takingInWords(found), wanted);
  }
});

test('what comes first is told where the order is certain', () => {
  const a = { id: 1n, pairs: new Map([['urgency', 1n]]) };
  const b = { id: 2n, pairs: new Map([['urgency', 5n]]) };
  assert.deepEqual(
    [
      Strategy.oldest(),
      Strategy.newest(),
      Strategy.random(),
      Strategy.priority('urgency', Strategy.oldest()),
      Strategy.priority('none', Strategy.newest()),
      Strategy.preferDistinct('urgency'),
      Strategy.selectOnly('urgency', [1], Strategy.oldest()),
      Strategy.orElse(Strategy.newest(), Strategy.oldest()),
    ].map((strategy) => comesFirst(strategy, a, b)),
    [true, false, null, false, false, null, true, false],
  );
});
