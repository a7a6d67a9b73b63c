import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import type { LeaseAnswer, ShardGrant, StoreLeases } from '../../../src/store/lease.ts';
import type { Store } from '../../../src/store/store.ts';

export interface LeaseFixture {
  /** Another node's view of the same store. */
  open(): Promise<Store>;
  /** Lets that much of the store's time pass. */
  passes(ms: number): Promise<void>;
}

/** Time passes as the test says; what it really takes must not matter. */
const LEASE_MS = 60_000;
const claimOf = (holder: string) => ({ holder, address: `${holder}:3999`, leaseMs: LEASE_MS });

function granted(answer: LeaseAnswer): ShardGrant {
  assert(answer.kind === 'taken', answer.kind);
  return answer.grant;
}

/** What holds of the leases of every store that has some. */
export function leaseConformance(name: string, make: () => Promise<LeaseFixture>): void {
  async function twoNodes(
    run: (nodes: {
      readonly a: Store & { readonly leases: StoreLeases };
      readonly b: Store & { readonly leases: StoreLeases };
      readonly passes: (ms: number) => Promise<void>;
    }) => Promise<void>,
  ): Promise<void> {
    const fixture = await make();
    const [a, b] = [await fixture.open(), await fixture.open()];
    try {
      assert(a.leases !== undefined && b.leases !== undefined);
      const shared = { a: a as Store & { leases: StoreLeases }, b: b as Store & { leases: StoreLeases } };
      await run({ ...shared, passes: (ms) => fixture.passes(ms) });
    } finally {
      await a.close();
      await b.close();
    }
  }

  test(`${name}: one of two nodes gets the lease, the other hears whose it is and how long it lasts`, () =>
    twoNodes(async ({ a, b }) => {
      const answers = await Promise.all([a.leases.take(0, claimOf('a')), b.leases.take(0, claimOf('b'))]);
      const [taken, other] = answers[0].kind === 'taken' ? answers : answers.toReversed();
      const winner = answers[0].kind === 'taken' ? 'a' : 'b';
      assert.deepEqual(granted(taken!), { shard: 0, epoch: 1, lastSeq: 0, highestId: 0n });
      assert(other?.kind === 'held');
      const { leftMs, ...by } = other.by;
      assert.deepEqual(by, { holder: winner, address: `${winner}:3999`, epoch: 1 });
      assert.ok(leftMs > 0 && leftMs <= LEASE_MS, `${leftMs} ms`);
    }));

  test(`${name}: a lease that is not renewed is free in time, and fences its former owner`, () =>
    twoNodes(async ({ a, b, passes }) => {
      const first = granted(await a.leases.take(0, claimOf('a')));
      await passes(LEASE_MS + 50);
      const second = granted(await b.leases.take(0, claimOf('b')));
      assert.equal(second.epoch, first.epoch + 1);
      assert.equal(await a.leases.renew(0, first.epoch), false);
      const mutations = [insertOf(1n)];
      const result = await a.commit({ shard: 0, epoch: first.epoch, seq: 1, mutations });
      assert.equal(result.kind, 'fenced');
      assert.equal(await b.findById(1n), null);
      // What it gives away is not its own.
      await a.leases.give(0, first.epoch);
      assert.equal((await a.leases.take(0, claimOf('a'))).kind, 'held');
      // Having been fenced is not the end of it.
      await b.leases.give(0, second.epoch);
      const third = granted(await a.leases.take(0, claimOf('a')));
      const taken = await a.commit({ shard: 0, epoch: third.epoch, seq: 1, mutations });
      assert.equal(taken.kind, 'committed');
      assert.equal(a.lost.aborted, false);
    }));

  test(`${name}: renewals and commits make it last, and the next owner knows of the commits`, () =>
    twoNodes(async ({ a, b, passes }) => {
      const { epoch } = granted(await a.leases.take(0, claimOf('a')));
      await passes(LEASE_MS * 0.7);
      assert.equal(await a.leases.renew(0, epoch), true);
      await passes(LEASE_MS * 0.7);
      assert.equal((await b.leases.take(0, claimOf('b'))).kind, 'held');
      const result = await a.commit({ shard: 0, epoch, seq: 1, mutations: [insertOf(5n)] });
      assert.equal(result.kind, 'committed');
      await passes(LEASE_MS * 0.7);
      assert.equal((await b.leases.take(0, claimOf('b'))).kind, 'held');
      await passes(LEASE_MS * 0.7);
      const grant = granted(await b.leases.take(0, claimOf('b')));
      assert.deepEqual(grant, { shard: 0, epoch: epoch + 1, lastSeq: 1, highestId: 5n });
      const next = await b.commit({ shard: 0, epoch: grant.epoch, seq: 2, mutations: [insertOf(6n)] });
      assert.equal(next.kind, 'committed');
    }));

  test(`${name}: a lease that is given away is free at once, and others hear of it`, () =>
    twoNodes(async ({ a, b }) => {
      const { epoch } = granted(await a.leases.take(0, claimOf('a')));
      assert.equal((await b.leases.take(0, claimOf('b'))).kind, 'held');
      const news = new Promise<void>((resolve) => b.leases.onNews(resolve));
      await a.leases.give(0, epoch);
      await news;
      granted(await b.leases.take(0, claimOf('b')));
    }));

  test(`${name}: a node whose answer was lost takes its own lease again, under the next epoch`, () =>
    twoNodes(async ({ a }) => {
      const lost = granted(await a.leases.take(0, claimOf('a')));
      const again = granted(await a.leases.take(0, claimOf('a')));
      assert.equal(again.epoch, lost.epoch + 1);
    }));

  test(`${name}: an owner that asked nobody fences the holder, and has no lease that others would wait for`, () =>
    twoNodes(async ({ a, b }) => {
      const { epoch } = granted(await a.leases.take(0, claimOf('a')));
      const [grant] = await b.acquire([0], 'tool');
      assert.equal(grant?.epoch, epoch + 1);
      assert.equal(await a.leases.renew(0, epoch), false);
      granted(await a.leases.take(0, claimOf('a')));
    }));
}
