import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '../../src/consumer/engine.ts';
import { checkDemand } from '../../src/consumer/options.ts';
import { CallbackWatch } from '../../src/consumer/run/callback-watch.ts';
import { ChunkRun } from '../../src/consumer/run/run.ts';
import { Tracing } from '../../src/consumer/run/tracing.ts';
import type { TransportEvent } from '../../src/consumer/thread/protocol.ts';
import { DIRECT_ROUTE } from '../../src/net/address/queue-route.ts';
import { systemClock } from '../../src/system/clock.ts';
import { silentLogger } from '../../src/system/logger.ts';
import { systemRandom } from '../../src/system/random.ts';
import { fakeSubmission } from '../support/fakes/fake-queue.ts';
import { Inbox } from '../support/peers/inbox.ts';

for (const reason of ['submission_ended', 'completed_elsewhere', 'given_back'] as const) {
  test(`nothing is kept of a chunk that was lost while its callback ran: ${reason}`, async () => {
    let emit: (event: TransportEvent) => void = () => {};
    const engine = new Engine({
      setup: {
        queueRoute: DIRECT_ROUTE,
        queueUrl: 'localhost:1',
        objectStore: null,
        frameBytesMax: 1_024,
        transferLimits: { transfersMax: 1, transferMsMax: 1_000 },
      },
      localBodies: null,
      startTransport: (_, listener) => {
        emit = listener.event;
        return { post() {}, flush() {}, keepAlive() {}, close: () => Promise.resolve() };
      },
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
    });
    const begun = new Inbox<number>();
    const run = new ChunkRun({
      engine,
      demand: checkDemand({}, 0, null),
      watch: new CallbackWatch(systemClock, Number.POSITIVE_INFINITY, () => {}),
      processor: (_, { chunkIndex }) => {
        begun.put(chunkIndex);
        return new Promise(() => {});
      },
      tracing: new Tracing(),
      clock: systemClock,
      logger: silentLogger,
    });
    const chunk = { submissionId: 1n, chunkIndex: 0 };
    const submission = fakeSubmission({ prefix: null });
    const held = { handle: 7, chunk, submission, retries: 0, input: new Uint8Array(), download: null };
    emit({ kind: 'ready', run: 1, chunk: held });
    await begun.take();
    assert.equal(engine.counts.owners, 1);
    emit({ kind: 'lost', handle: 7, reason });
    assert.equal(engine.counts.owners, 0);
    run.abandon(new Error('over'));
    await assert.rejects(run.over, /over/);
  });
}
