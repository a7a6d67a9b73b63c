import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { Activity } from '../../src/consumer/activity.ts';
import { Engine } from '../../src/consumer/engine.ts';
import { Announcer } from '../../src/consumer/events.ts';
import { ManualChunks } from '../../src/consumer/manual-chunks.ts';
import { checkDemand } from '../../src/consumer/options.ts';
import { CallbackWatch } from '../../src/consumer/run/callback-watch.ts';
import { ChunkRun } from '../../src/consumer/run/run.ts';
import { RunTracing } from '../../src/consumer/run/tracing.ts';
import type { Command, TransportEvent } from '../../src/consumer/thread/protocol.ts';
import { defineContract } from '../../src/contract/contract.ts';
import { ClientClosedError } from '../../src/model/errors.ts';
import { DIRECT_ROUTE } from '../../src/net/address/queue-route.ts';
import { silentLogger } from '../../src/system/log/logger.ts';
import { systemRandom } from '../../src/system/random.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { fakeSubmission } from '../support/fakes/fake-queue.ts';
import { Inbox } from '../support/peers/inbox.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const SETUP = {
  queueRoute: DIRECT_ROUTE,
  queueUrl: 'localhost:1',
  objectStore: null,
  frameBytesMax: 1_024,
  transferLimits: { transfersMax: 1, transferMsMax: 1_000 },
};

for (const reason of ['submission_ended', 'completed_elsewhere', 'given_back'] as const) {
  test(`nothing is kept of a chunk that was lost while its callback ran: ${reason}`, async () => {
    let emit: (event: TransportEvent) => void = () => {};
    const engine = new Engine({
      setup: SETUP,
      localBodies: null,
      startTransport: (_, listener) => {
        emit = listener.event;
        return { post() {}, flush() {}, keepAlive() {}, close: () => Promise.resolve() };
      },
      listener: { connected() {}, disconnected() {}, chunkFailed() {} },
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
    });
    const begun = new Inbox<number>();
    const announcer = new Announcer(new EventEmitter(), silentLogger);
    const run = new ChunkRun({
      engine,
      activity: new Activity(announcer, systemClock, silentLogger),
      untilIdleMs: null,
      demand: checkDemand({}, 0, null),
      watch: new CallbackWatch(systemClock, Number.POSITIVE_INFINITY, () => {}),
      processor: (_, { chunkIndex }) => {
        begun.put(chunkIndex);
        return new Promise(() => {});
      },
      tracing: new RunTracing(),
      clock: systemClock,
      logger: silentLogger,
    });
    const chunk = { submissionId: 1n, chunkIndex: 0 };
    const submission = fakeSubmission({ prefix: null });
    const held = { handle: 7, chunk, submission, retries: 0, input: new Uint8Array(), download: null };
    emit({ kind: 'ready', feed: 1, chunks: [held] });
    await begun.take();
    emit({ kind: 'lost', feed: 1, handle: 7, reason });
    assert.deepEqual(engine.counts, { feeds: 1, receipts: 0 });
    run.abandon(new Error('over'));
    await assert.rejects(run.over, /over/);
    assert.deepEqual(engine.counts, { feeds: 0, receipts: 0 });
  });
}

test('what is reported while the thread is started again goes to the next one', async () => {
  const clock = new ManualClock();
  const threads: { posted: Command[]; crash(error: Error): void }[] = [];
  const engine = new Engine({
    listener: { connected() {}, disconnected() {}, chunkFailed() {} },
    setup: SETUP,
    localBodies: null,
    startTransport: (_, { crashed }) => {
      const posted: Command[] = [];
      threads.push({ posted, crash: crashed });
      return { post: (command) => posted.push(command), flush() {}, keepAlive() {}, close: async () => {} };
    },
    clock,
    random: systemRandom,
    logger: silentLogger,
  });
  const failure = { handle: null, chunk: { submissionId: 1n, chunkIndex: 0 }, failure: 'x' };
  const report = () =>
    engine.reportAndWait({ kind: 'fail', failure: { ...failure, retryable: true, delayMs: 0 } }, 'sent');
  const lost = report();
  threads[0]?.crash(new Error('out of memory'));
  assert.match((await lost).error ?? '', /out of memory/);
  const waiting = report();
  assert.equal(threads.length, 1);
  clock.advance(60_000);
  assert.deepEqual(
    threads[1]?.posted.map(({ kind }) => kind),
    ['fail'],
  );
  await engine.close(new ClientClosedError());
  await assert.rejects(waiting, ClientClosedError);
});

test('a refused call of reserveChunks keeps no thread alive, and is not made again by the next one', async () => {
  const clock = new ManualClock();
  const posted: Command[] = [];
  const alive: boolean[] = [];
  let thread = { event: (_: TransportEvent) => {}, crashed: (_: Error) => {} };
  const engine = new Engine({
    setup: SETUP,
    localBodies: null,
    listener: { connected() {}, disconnected() {}, chunkFailed() {} },
    startTransport: (_, listener) => {
      thread = listener;
      return {
        post: (command) => posted.push(command),
        flush() {},
        keepAlive: (isNeeded) => alive.push(isNeeded),
        close: async () => {},
      };
    },
    clock,
    random: systemRandom,
    logger: silentLogger,
  });
  const manual = new ManualChunks({ engine, contract: defineContract({}), isContractGiven: false });
  const refused = assert.rejects(manual.reserve({}), {
    code: 'RESERVATION_REFUSED',
  });
  thread.event({ kind: 'refused', feed: 1, reason: 'too many strategies' });
  thread.event({ kind: 'feed_ended', feed: 1 });
  await refused;
  assert.deepEqual(engine.counts, { feeds: 0, receipts: 0 });
  assert.equal(alive.at(-1), false);
  posted.length = 0;
  thread.crashed(new Error('out of memory'));
  clock.advance(60_000);
  assert.deepEqual(posted, []);
});
