/** Verbs of the producer's client, on a real queue. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NothingMatchesError } from '../../src/model/errors.ts';
import { verbRequest } from '../../src/producer/changes.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { errorOf } from '../../src/producer/verb-errors.ts';
import { userAtHost } from '../../src/system/process/who.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { TestServer } from '../support/queues/test-server.ts';

function producerOf(server: TestServer, path = ''): ProducerClient<number, number> {
  return new ProducerClient<number, number>(`127.0.0.1:${server.port}${path}`, null);
}

const IN_QUEUE = { in: 'queue', chunkSize: 1 } as const;

test('a submission is paused and resumed, each cause by itself, and tells who did what and why', async () => {
  await using server = await TestServer.start();
  await using producer = producerOf(server);
  const submission = await producer.submit([1, 2], IN_QUEUE);
  assert.equal(await submission.pause({ reason: 'night' }), true);
  assert.equal(await submission.pause(), false);
  assert.equal(await submission.pause({ cause: 'disk-full', by: 'monitor' }), true);
  assert.equal(await submission.resume({ cause: 'disk-full' }), true);
  const details = await submission.details();
  assert.ok(details?.state === 'in_progress');
  assert.deepEqual(
    details.pauses.map(({ cause, by, reason }) => [cause, by, reason]),
    [['manual', userAtHost(), 'night']],
  );
  assert.deepEqual(
    details.history.map(({ verb, detail, by }) => [verb, detail, by]),
    [
      ['pause', 'manual', userAtHost()],
      ['pause', 'disk-full', 'monitor'],
      ['resume', 'disk-full', userAtHost()],
    ],
  );
  assert.ok(details.pauses[0]!.sinceMs >= details.submittedAtMs);
  const consumer = await server.consumer();
  consumer.reserve();
  await consumer.control('pong');
  assert.equal(await submission.resume({ cause: null }), true);
  await consumer.next('reserved');
});

test('a deadline, a start and metadata are given at the insert and changed later', async () => {
  await using server = await TestServer.start();
  await using producer = producerOf(server);
  const [start, deadline] = [new Date('2998-01-01T00:00:00Z'), new Date('2999-01-01T00:00:00.5Z')];
  const submission = await producer.submit([1], {
    ...IN_QUEUE,
    deadline,
    startAfter: start,
    strategicMetadata: { customer: 1, region: 2 },
  });
  const before = await submission.details();
  assert.deepEqual([before?.deadlineMs, before?.startAfterMs], [deadline.getTime(), start.getTime()]);
  assert.equal(
    await submission.set({ deadline: null, strategicMetadata: { customer: 7n, region: null } }),
    true,
  );
  assert.equal(await submission.set({ deadline: null }), false);
  const after = await submission.details();
  assert.deepEqual(
    [after?.deadlineMs, after?.startAfterMs, after?.strategicMetadata],
    [null, start.getTime(), { customer: 7 }],
  );
  await assert.rejects(submission.set({ deadline: new Date(0) }), {
    name: 'DeadlinePassedError',
    message: /^deadline: 1970-01-01T00:00:00\.000Z has passed, it is /,
  });
  await assert.rejects(producer.submit([1], { ...IN_QUEUE, deadline: new Date(0) }), {
    code: 'DEADLINE_PASSED',
  });
});

test('a submission that is cancelled says by whom and why', async () => {
  await using server = await TestServer.start();
  await using producer = producerOf(server);
  const submission = await producer.submit([1], IN_QUEUE);
  await submission.cancel({ reason: 'wrong file' });
  const details = await submission.done();
  assert.ok(details.state === 'cancelled');
  assert.deepEqual([details.by, details.reason], [userAtHost(), 'wrong file']);
  await assert.rejects(submission.cancel({ reason: 'again' }), {
    code: 'SUBMISSION_NOT_CANCELLABLE',
    submissionId: submission.id,
  });
  await assert.rejects(submission.pause(), { code: 'SUBMISSION_ENDED', submissionId: submission.id });
  await assert.rejects(Array.fromAsync(submission.results()), {
    code: 'SUBMISSION_CANCELLED',
    message: `submission ${submission.id} was cancelled by ${userAtHost()}: wrong file`,
  });
  await assert.rejects(producer.submission('7').pause(), { code: 'SUBMISSION_NOT_FOUND', submissionId: '7' });
});

test('many submissions are changed at once, by what they carry; a dry run changes none', async () => {
  await using server = await TestServer.start();
  await using producer = producerOf(server);
  await using images = producerOf(server, '/q/images');
  const strategicMetadata = { customer: 42 };
  const first = await producer.submit([1], { ...IN_QUEUE, strategicMetadata });
  const second = await images.submit([1], { ...IN_QUEUE, strategicMetadata });
  const ofCustomer = { matching: { metadata: strategicMetadata } };
  const dry = await producer.pause(ofCustomer, { dryRun: true });
  assert.deepEqual([dry.dryRun, dry.ids], [true, [first.id, second.id]]);
  assert.deepEqual((await images.pause(ofCustomer)).ids, [second.id]);
  assert.deepEqual((await producer.pause(ofCustomer)).unchanged, 1);
  await assert.rejects(producer.cancel(ofCustomer, { expected: 1 }), {
    code: 'COUNT_CHANGED',
    matched: 2,
    expected: 1,
  });
  await assert.rejects(producer.cancel({ matching: { metadata: { customer: 43 } } }), {
    code: 'NOTHING_MATCHES',
    message: 'no open submission matches customer=43: nothing was changed',
  });
  const mixed = await producer.resume({ ids: [first.id, '7'] });
  assert.deepEqual(
    [mixed.done, mixed.skipped.map(({ id, code }) => [id, code])],
    [1, [['7', 'SUBMISSION_NOT_FOUND']]],
  );
  assert.equal((await producer.pause({ queue: 'images' }, { cause: 'upgrade' })).done, 1);
  assert.equal((await producer.resume({ matching: { queue: 'images' } })).stillPaused, 1);
  const details = await second.details();
  assert.deepEqual(details?.state === 'in_progress' && details.queuePauses.map(({ cause }) => cause), [
    'upgrade',
  ]);
  await assert.rejects(producer.cancel({ server: true }), { code: 'CHANGE_REFUSED' });
});

test('a queue that does not know verbs is left alone, and nothing is read or uploaded for it', async () => {
  await using queue = await FakeQueue.start({ features: ['wait', 'chunks_done'] });
  const store = freshStore();
  await using producer = new ProducerClient<number, number>(queue.url, store);
  const unsupported = { code: 'QUEUE_UNSUPPORTED', feature: 'control' };
  let isRead = false;
  function* operations() {
    isRead = true;
    yield 1;
  }
  for (const options of [{ deadline: new Date('2999-01-01') }, { startAfter: new Date(0) }]) {
    await assert.rejects(producer.submit(operations(), { chunkSize: 1, ...options }), unsupported);
  }
  assert.equal(isRead, false);
  const submission = await producer.submit([1], { chunkSize: 1 });
  for (const call of [
    () => submission.pause(),
    () => submission.resume(),
    () => submission.set({ deadline: null }),
    () => submission.cancel({ reason: 'why' }),
    () => producer.pause({ server: true }),
  ]) {
    await assert.rejects(call(), unsupported);
  }
  await submission.cancel();
  const details = await submission.details();
  assert.deepEqual([details?.pauses, details?.history, details?.deadlineMs], [[], [], null]);
});

test('wrong use throws at the call, and names what is wrong', async () => {
  await using producer = new ProducerClient('127.0.0.1:1', null);
  const submission = producer.submission('1');
  const wrong = (message: RegExp) => ({ code: 'INCORRECT_USAGE', message });
  await assert.rejects(
    submission.pause({ cause: 'Two words' }),
    wrong(/^cause must be a string that matches/),
  );
  await assert.rejects(
    submission.pause({ reason: '' }),
    wrong(/^reason must be a Unicode text of 1 to 1000/),
  );
  await assert.rejects(
    submission.pause({ by: 'x'.repeat(201) }),
    wrong(/^by must be .* 1 to 200 characters/),
  );
  await assert.rejects(submission.set({}), wrong(/^nothing to change: give strategicMetadata/));
  await assert.rejects(submission.set({ deadline: new Date('x') }), wrong(/^deadline must be a valid Date/));
  await assert.rejects(producer.pause({ ids: [] }), wrong(/^ids must be an array of 1 to 10000 ids/));
  await assert.rejects(producer.pause({ queue: 'No' }), wrong(/^queue must be '' or a name/));
  await assert.rejects(
    producer.pause({} as { server: true }),
    wrong(/^the work must be one of ids, matching/),
  );
  await assert.rejects(producer.pause({ server: true }, { expected: -1 }), wrong(/^expected must be/));
  await assert.rejects(
    producer.submit([1], { chunkSize: 1, in: 'queue', deadline: 5 as unknown as Date }),
    wrong(/^deadline must be a valid Date, got 5/),
  );
});

test('an error that nothing matches is the same at the client as in the queue', () => {
  const request = verbRequest({ verb: 'cancel' }, { kind: 'server' }, {});
  for (const error of [
    new NothingMatchesError(''),
    new NothingMatchesError('customer=42, queue images'),
    new NothingMatchesError('', 'submission with failures'),
  ]) {
    const problem = { status: 404, code: error.code, detail: error.message, queue: null };
    assert.equal(errorOf(problem, request)?.message, error.message);
  }
});
