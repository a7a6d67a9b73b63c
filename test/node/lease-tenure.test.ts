import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ShardId } from '../../src/model/ids.ts';
import { LeaseLoop } from '../../src/node/lease-loop.ts';
import type { LeaseTenure } from '../../src/node/lease-tenure.ts';
import { Tenures } from '../../src/node/tenures.ts';
import { StoreError } from '../../src/store/errors.ts';
import type { LeaseSight, ShardGrant, StoreLeases } from '../../src/store/lease.ts';
import { seededRandom } from '../../src/system/random.ts';
import { type Instant, instantOf } from '../../src/system/time/instant.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { ManualClock } from '../support/time/manual-clock.ts';
import { PausingClock } from '../support/time/pausing-clock.ts';

const LEASE_MS = 3_000;
const GRANT: ShardGrant = { shard: 0, epoch: 7, lastSeq: 0, highestId: 0n };

type Answer = Promise<boolean>;

/** A tenure whose renewals are answered by the test. */
class Fixture {
  readonly time = new ManualClock();
  readonly clock = new PausingClock(this.time);
  /** When renewals were sent. */
  readonly sentAt: number[] = [];
  given = 0;
  answer: () => Answer = () => Promise.resolve(true);
  readonly tenure: LeaseTenure;
  readonly tenures: Tenures;
  readonly stop = new AbortController();

  /** @param agoMs when the claim was sent */
  constructor(agoMs = 0) {
    const now = instantOf(this.time);
    const sent: Instant = { monotonicMs: now.monotonicMs - agoMs, wallMs: now.wallMs - agoMs };
    const leases: StoreLeases = {
      look: async (_, renew = []) => {
        if (renew.length > 0) {
          assert.deepEqual(renew, [GRANT]);
          this.sentAt.push(this.time.monotonicMs());
        }
        const isOurs = renew.length === 0 || (await this.answer());
        return sightOf(isOurs ? 7 : 8, isOurs ? [0] : []);
      },
      take: () => Promise.reject(new Error('not asked for')),
      give: async () => {
        this.given++;
        return [];
      },
      leave: async () => {},
      ready: async () => [],
      proveCommit: async () => {},
      onNews: () => () => {},
    };
    const { clock } = this;
    const logger = recordingLogger();
    this.tenures = new Tenures({ leases, leaseMs: LEASE_MS, clock, logger });
    this.tenure = this.tenures.add(GRANT, sent);
    const loop = new LeaseLoop({
      leases,
      tenures: this.tenures,
      shards: [0],
      claim: { holder: 'a', address: 'a:3999', leaseMs: LEASE_MS },
      clock,
      random: seededRandom(1),
      logger,
      stop: this.stop.signal,
      prepare: async () => {},
      isBusy: () => true,
      open: () => [0],
      seen: () => {},
      troubled: () => {},
      taken: () => {},
      rested: () => {},
      handOver: () => {},
    });
    // The test says first what is answered.
    queueMicrotask(() => void loop.run().catch(() => {}));
  }

  /** Milliseconds one after the other, with all that follows from each. */
  async passes(ms: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < ms; i += 10) {
      this.time.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function sightOf(epoch: number, renewed: readonly ShardId[]): LeaseSight {
  const name = epoch === 7 ? 'a' : 'b';
  const lease = { leaseMs: LEASE_MS, leftMs: LEASE_MS, isAwaited: false };
  const holder = { shard: 0, epoch, holder: name, address: 'x:1', ...lease };
  return { leases: [holder], free: [], nodes: [], renewed, server: null, reason: null };
}

test('an idle owner renews at a third of its lease, and keeps it', async () => {
  const fixture = new Fixture();
  await fixture.passes(10_000);
  assert.ok(fixture.tenure.isOn());
  assert.deepEqual(fixture.sentAt, [1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000]);
});

test('commits renew it: nothing else is sent while there are some', async () => {
  const fixture = new Fixture();
  for (let i = 0; i < 20; i++) {
    await fixture.passes(500);
    fixture.tenure.renewed(instantOf(fixture.clock));
  }
  assert.ok(fixture.tenure.isOn());
  assert.deepEqual(fixture.sentAt, []);
});

test('it is measured from the moment before the claim was sent, not from its answer', async () => {
  const fixture = new Fixture(2_500);
  fixture.answer = () => new Promise(() => {});
  await fixture.passes(190);
  assert.ok(fixture.tenure.isOn());
  await fixture.passes(10);
  assert.ok(!fixture.tenure.isOn());
});

test('a renewal that is answered late counts from when it was sent', async () => {
  const fixture = new Fixture();
  const late = Promise.withResolvers<boolean>();
  fixture.answer = () => late.promise;
  await fixture.passes(2_600);
  assert.deepEqual(fixture.sentAt, [1_000]);
  fixture.answer = () => new Promise(() => {});
  late.resolve(true);
  await fixture.passes(1_090);
  assert.ok(fixture.tenure.isOn());
  await fixture.passes(10);
  assert.ok(!fixture.tenure.isOn());
});

test('a renewal whose answer is lost is tried again, and the lease ends in time if none succeeds', async () => {
  const fixture = new Fixture();
  fixture.answer = () => Promise.reject(new StoreError('transient', 'cut'));
  await fixture.passes(2_000);
  assert.deepEqual(fixture.sentAt, [1_000, 1_300, 1_600, 1_900]);
  assert.ok(fixture.tenure.isOn());
  await fixture.passes(700);
  assert.ok(!fixture.tenure.isOn());
  assert.match(fixture.tenure.ended.reason.message, /not renewed within 3000 ms/);
  const { length } = fixture.sentAt;
  await fixture.passes(3_000);
  assert.equal(fixture.sentAt.length, length, 'it renews what is over');
});

test('a renewal that was answered after the end does not bring it back', async () => {
  const fixture = new Fixture();
  const late = Promise.withResolvers<boolean>();
  fixture.answer = () => late.promise;
  await fixture.passes(2_700);
  assert.ok(fixture.tenure.ended.aborted);
  late.resolve(true);
  fixture.tenure.renewed(instantOf(fixture.clock));
  await fixture.passes(10);
  assert.ok(!fixture.tenure.isOn());
});

test('a process that wakes from a pause knows it before any timer has fired', async () => {
  const fixture = new Fixture();
  await fixture.passes(500);
  fixture.clock.pause();
  await fixture.passes(10_000);
  assert.ok(!fixture.tenure.ended.aborted, 'a timer has fired');
  assert.ok(!fixture.tenure.isOn());
  assert.ok(fixture.tenure.ended.aborted);
  fixture.clock.wake();
  await fixture.passes(10);
  assert.deepEqual(fixture.sentAt, []);
});

test('a machine that was suspended, with its monotonic clock, knows it by the wall clock', async () => {
  const fixture = new Fixture();
  await fixture.passes(500);
  fixture.clock.suspend();
  await fixture.passes(2_190);
  fixture.clock.wake();
  assert.ok(fixture.tenure.isOn(), 'there were 10 ms left');
  // What it had sent before it was suspended renews by the time that has passed outside.
  const sent = instantOf(fixture.clock);
  fixture.clock.suspend();
  await fixture.passes(10_000);
  fixture.tenure.renewed(sent);
  assert.ok(!fixture.tenure.isOn());
  fixture.clock.wake();
});

test('a wall clock that is set back does not make a lease longer', async () => {
  const fixture = new Fixture();
  const { monotonicMs, wallMs } = instantOf(fixture.time);
  fixture.answer = () => new Promise(() => {});
  await fixture.passes(10);
  fixture.tenure.renewed({ monotonicMs: monotonicMs + 10, wallMs: wallMs + 60_000 });
  await fixture.passes(2_690);
  assert.ok(fixture.tenure.isOn());
  await fixture.passes(10);
  assert.ok(!fixture.tenure.isOn());
});

test('it ends by itself when its time is over, and at once when another has taken the lease', async () => {
  const idle = new Fixture();
  idle.answer = () => new Promise(() => {});
  await idle.passes(2_690);
  assert.ok(!idle.tenure.ended.aborted);
  await idle.passes(10);
  assert.ok(idle.tenure.ended.aborted);
  const fenced = new Fixture();
  fenced.answer = () => Promise.resolve(false);
  await fenced.passes(1_010);
  assert.equal(fenced.tenure.ended.reason.code, 'STORE_FENCED');
});

test('what is given away is over before the store knows, and is given once', async () => {
  const fixture = new Fixture();
  const given = fixture.tenures.give(fixture.tenure);
  assert.ok(!fixture.tenure.isOn());
  await given;
  await fixture.tenures.give(fixture.tenure);
  assert.equal(fixture.given, 1);
  fixture.stop.abort();
  assert.equal(fixture.time.timersPending, 0);
});
