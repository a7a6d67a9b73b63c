import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_SCOPE_CONTROL, SERVER_SCOPE, withPause } from '../../../src/model/control.ts';
import type { ShardId } from '../../../src/model/ids.ts';
import {
  cancelled,
  completed,
  control,
  failed,
  failedChunk,
  insertOf,
  page,
  tries,
} from '../../../src/store/conformance/mutations.ts';
import { plainLoaded } from '../../../src/store/conformance/session.ts';
import type { LeaseSight, ShardGrant, StoreLeases } from '../../../src/store/lease.ts';
import type { LoadedSubmission, Mutation, Store } from '../../../src/store/store.ts';

export interface LeaseFixture {
  /** Another node's view of the same store. */
  open(): Promise<Store>;
  /** Lets that much of the store's time pass. */
  passes(ms: number): Promise<void>;
}

type SharedStore = Store & { readonly leases: StoreLeases };

/** Time passes as the test says; what it really takes must not matter. */
const LEASE_MS = 60_000;
const claimOf = (holder: string) => ({ holder, address: `${holder}:3999`, leaseMs: LEASE_MS });

/** Those of them that are free, as they are now. */
async function take(
  store: SharedStore,
  holder: string,
  ...shards: ShardId[]
): Promise<readonly ShardGrant[]> {
  const { leases, free } = await store.leases.look(null);
  const asked = [...leases, ...free].filter(({ shard }) => shards.includes(shard));
  return store.leases.take(asked, claimOf(holder));
}

/** One shard, which must be free. */
async function taken(store: SharedStore, shard: ShardId, holder: string): Promise<ShardGrant> {
  const [grant] = await take(store, holder, shard);
  assert(grant !== undefined, `shard ${shard} is not free`);
  return grant;
}

async function isFree(store: SharedStore, shard: ShardId): Promise<boolean> {
  const { leases, free } = await store.leases.look(null);
  const isFree = free.some((each) => each.shard === shard);
  assert.equal(
    leases.some((each) => each.shard === shard),
    !isFree,
  );
  return isFree;
}

async function commit(
  store: Store,
  { shard, epoch }: ShardGrant,
  seq: number,
  ...mutations: Mutation[]
): Promise<string> {
  return (await store.commit({ shard, epoch, seq, mutations })).kind;
}

/** Whose lease is on, and where that one is reached. */
function holders({ leases }: LeaseSight) {
  return leases.map(({ shard, epoch, holder, address }) => ({ shard, epoch, holder, address }));
}

/** What holds of the leases of every store that has some. */
export function leaseConformance(name: string, make: () => Promise<LeaseFixture>): void {
  async function twoNodes(
    run: (nodes: {
      readonly a: SharedStore;
      readonly b: SharedStore;
      readonly passes: (ms: number) => Promise<void>;
    }) => Promise<void>,
  ): Promise<void> {
    const fixture = await make();
    const [a, b] = [await fixture.open(), await fixture.open()];
    try {
      assert(a.leases !== undefined && b.leases !== undefined);
      const shared = { a: a as SharedStore, b: b as SharedStore };
      await run({ ...shared, passes: (ms) => fixture.passes(ms) });
    } finally {
      await a.close();
      await b.close();
    }
  }

  test(`${name}: one of two nodes gets the lease, the other sees whose it is and how long it lasts`, () =>
    twoNodes(async ({ a, b }) => {
      const free = [{ shard: 0, epoch: 0 }];
      const answers = await Promise.all([
        a.leases.take(free, claimOf('a')),
        b.leases.take(free, claimOf('b')),
      ]);
      const winner = answers[0].length === 1 ? 'a' : 'b';
      assert.deepEqual(answers.flat(), [{ shard: 0, epoch: 1, lastSeq: 0, highestId: 0n }]);
      const sight = await b.leases.look(null);
      assert.deepEqual(holders(sight), [{ shard: 0, epoch: 1, holder: winner, address: `${winner}:3999` }]);
      const leftMs = sight.leases[0]?.leftMs ?? 0;
      assert.ok(leftMs > 0 && leftMs <= LEASE_MS, `${leftMs} ms`);
      assert.equal(sight.reason, null);
    }));

  test(`${name}: a lease that is not renewed is free in time, and fences its former owner`, () =>
    twoNodes(async ({ a, b, passes }) => {
      const first = await taken(a, 0, 'a');
      await passes(LEASE_MS + 50);
      const second = await taken(b, 0, 'b');
      assert.equal(second.epoch, first.epoch + 1);
      assert.deepEqual((await a.leases.look(claimOf('a'), [first])).renewed, []);
      assert.equal(await commit(a, first, 1, insertOf(1n)), 'fenced');
      assert.equal(await b.findById(1n), null);
      // What it gives away is not its own.
      await a.leases.give([first]);
      assert.deepEqual(await take(a, 'a', 0), []);
      // Having been fenced is not the end of it.
      await b.leases.give([second]);
      const third = await taken(a, 0, 'a');
      assert.equal(await commit(a, third, 1, insertOf(1n)), 'committed');
      assert.equal(a.lost.aborted, false);
    }));

  test(`${name}: renewals and commits make it last, and the next owner knows of the commits`, () =>
    twoNodes(async ({ a, b, passes }) => {
      const grant = await taken(a, 0, 'a');
      await passes(LEASE_MS * 0.7);
      assert.deepEqual((await a.leases.look(claimOf('a'), [grant])).renewed, [0]);
      await passes(LEASE_MS * 0.7);
      assert.equal(await isFree(b, 0), false);
      assert.equal(await commit(a, grant, 1, insertOf(5n)), 'committed');
      await passes(LEASE_MS * 0.7);
      assert.deepEqual(await take(b, 'b', 0), []);
      await passes(LEASE_MS * 0.7);
      assert.equal(await isFree(b, 0), true);
      const next = await taken(b, 0, 'b');
      assert.deepEqual(next, { shard: 0, epoch: grant.epoch + 1, lastSeq: 1, highestId: 5n });
      assert.equal(await commit(b, next, 2, insertOf(6n)), 'committed');
    }));

  test(`${name}: a lease that is given away is free at once, is not renewed, and others hear of it`, () =>
    twoNodes(async ({ a, b }) => {
      const grant = await taken(a, 0, 'a');
      assert.equal(await isFree(b, 0), false);
      const news = new Promise<void>((resolve) => b.leases.onNews(resolve));
      await a.leases.give([grant]);
      await news;
      // A renewal and a batch that were on their way.
      await a.leases.look(claimOf('a'), [grant]);
      await commit(a, grant, 1, insertOf(1n));
      assert.equal(await isFree(b, 0), true);
      await taken(b, 0, 'b');
    }));

  test(`${name}: a node whose answer was lost takes its own lease again, under the next epoch`, () =>
    twoNodes(async ({ a }) => {
      const lost = await taken(a, 0, 'a');
      const again = await taken(a, 0, 'a');
      assert.equal(again.epoch, lost.epoch + 1);
      // The first claim comes late.
      assert.deepEqual(await a.leases.take([{ shard: 0, epoch: 0 }], claimOf('a')), []);
      assert.deepEqual((await a.leases.look(null, [again])).renewed, [0]);
    }));

  test(`${name}: an owner that asked nobody fences the holder, and has no lease that others would wait for`, () =>
    twoNodes(async ({ a, b }) => {
      const first = await taken(a, 0, 'a');
      const [grant] = await b.acquire([0], 'tool');
      assert.equal(grant?.epoch, first.epoch + 1);
      assert.deepEqual((await a.leases.look(null, [first])).renewed, []);
      await taken(a, 0, 'a');
    }));

  test(`${name}: of several shards a node gets those that are free, and each goes its own way from then on`, () =>
    twoNodes(async ({ a, b, passes }) => {
      const [third] = await take(a, 'a', 3);
      const grants = await take(b, 'b', 1, 2, 3, 63);
      assert.deepEqual(
        grants.map(({ shard }) => shard).sort((x, y) => x - y),
        [1, 2, 63],
      );
      const [first, second] = [1, 2].map((shard) => grants.find((each) => each.shard === shard)!);
      await passes(LEASE_MS * 0.7);
      const { renewed } = await b.leases.look(claimOf('b'), [first!]);
      assert.deepEqual(renewed, [1]);
      assert.equal(await commit(b, second!, 1, insertOf(1n)), 'committed');
      await passes(LEASE_MS * 0.7);
      assert.deepEqual(
        holders(await a.leases.look(null)).map(({ shard, holder }) => [shard, holder]),
        [
          [1, 'b'],
          [2, 'b'],
        ],
      );
      await b.leases.give([first!]);
      assert.equal((await taken(a, 1, 'a')).epoch, 2);
      const asked = [third!, first!, second!];
      const sight = await b.leases.look(claimOf('b'), asked);
      assert.deepEqual(sight.renewed.toSorted(), [2, 3]);
      assert.equal(await commit(b, second!, 2, insertOf(2n)), 'committed');
    }));

  test(`${name}: a shard has what its batches inserted, whatever the ids, and nothing of the others`, () =>
    twoNodes(async ({ a, b }) => {
      const [five, seven] = [await taken(a, 5, 'a'), await taken(b, 7, 'b')];
      // What was moved in from another store carries the bits of shard 0.
      assert.equal(await commit(a, five, 1, insertOf(1n), insertOf(4n), insertOf(6n)), 'committed');
      assert.equal(await commit(b, seven, 1, insertOf(2n), insertOf(3n), page(2n, 0, [1])), 'committed');
      assert.equal(await commit(a, five, 2, completed(1n, 10), page(4n, 0, [2])), 'committed');
      assert.equal(await commit(b, seven, 2, completed(3n, 5)), 'committed');
      const open = async (...shards: ShardId[]) =>
        (await Array.fromAsync(a.load(shards))).flat().map(({ record, done }) => [record.id, [...done]]);
      assert.deepEqual(await open(5), [
        [4n, [2]],
        [6n, []],
      ]);
      assert.deepEqual(await open(7), [[2n, [1]]]);
      const both = (await open(7, 0, 5)).sort(([x], [y]) => (x! < y! ? -1 : 1));
      assert.deepEqual(both, [...(await open(7)), ...(await open(5))]);
      const due = async (...shards: ShardId[]) =>
        (await a.due({ shards, endedBeforeMs: 100, limit: 9 })).map(({ id }) => id);
      assert.deepEqual(await due(5), [1n]);
      assert.deepEqual(await due(5, 7), [3n, 1n]);
      assert.deepEqual(await due(5, 7, 8), [3n, 1n]);
      assert.deepEqual([await a.lastSeq(5), await b.lastSeq(7), await a.lastSeq(0)], [2, 2, 0]);
      // Of others nothing is cleaned up, nor of what was lost.
      assert.equal(await a.forget([1n, 3n]), 1);
      await b.leases.give([seven]);
      await taken(a, 7, 'a');
      assert.equal(await b.forget([3n]), 0);
      assert.equal(await a.forget([3n]), 1);
    }));

  test(`${name}: shards that insert the same prefix at the same time get one submission`, () =>
    twoNodes(async ({ a, b }) => {
      const grants = [await taken(a, 1, 'a'), await taken(b, 2, 'b')];
      for (let round = 0; round < 20; round++) {
        const ids = [BigInt(2 * round + 1), BigInt(2 * round + 2)];
        const send = async (which: 0 | 1) => {
          const { shard, epoch } = grants[which]!;
          const mutations = [insertOf(ids[which]!, { prefix: `p${round}` }, { idempotencyKey: `k${round}` })];
          for (;;) {
            const result = await [a, b][which]!.commit({ shard, epoch, seq: round + 1, mutations });
            if (result.kind === 'committed') return result.inserts[0];
            assert(result.kind === 'refused' && result.error.storeClass === 'transient', result.error);
          }
        };
        const results = await Promise.all([send(0), send(1)]);
        assert.deepEqual(results.map((each) => each?.kind).sort(), ['exists', 'inserted']);
        const owner = ids[results.findIndex((each) => each?.kind === 'inserted')];
        const other = results.find((each) => each?.kind === 'exists');
        assert.equal(other?.kind === 'exists' && other.submission.record.id, owner);
      }
    }));

  test(`${name}: nodes that are present see each other until they leave, or are not heard of for a lease`, () =>
    twoNodes(async ({ a, b, passes }) => {
      const present = async () => (await b.leases.look(null)).nodes.map(({ holder }) => holder);
      const heard: string[] = [];
      b.leases.onNews(() => heard.push('news'));
      const first = await a.leases.look(claimOf('a'));
      assert.deepEqual(
        first.nodes.map(({ holder, address }) => ({ holder, address })),
        [{ holder: 'a', address: 'a:3999' }],
      );
      await a.leases.look(claimOf('a'));
      assert.deepEqual(
        (await b.leases.look(claimOf('b'))).nodes.map(({ holder }) => holder),
        ['a', 'b'],
      );
      await passes(LEASE_MS * 0.7);
      await b.leases.look(claimOf('b'));
      await passes(LEASE_MS * 0.7);
      assert.deepEqual(await present(), ['b']);
      await a.leases.look(claimOf('a'));
      assert.deepEqual(await present(), ['a', 'b']);
      await b.leases.leave('b');
      assert.deepEqual(await present(), ['a']);
      assert.ok(heard.length >= 1);
    }));

  test(`${name}: a proof that something can be committed changes nothing`, () =>
    twoNodes(async ({ a, b }) => {
      const grant = await taken(a, 0, 'a');
      await Promise.all([a.leases.proveCommit(), b.leases.proveCommit()]);
      const { leases, nodes, reason } = await b.leases.look(null);
      assert.deepEqual(
        leases.map(({ shard, epoch, holder }) => [shard, epoch, holder]),
        [[0, grant.epoch, 'a']],
      );
      assert.deepEqual([nodes, reason], [[], null]);
    }));

  test(`${name}: a lease that the next node has prepared to take is awaited, until it is taken`, () =>
    twoNodes(async ({ a, b }) => {
      const grant = await taken(a, 0, 'a');
      const isAwaited = async () => (await a.leases.look(null)).leases.map((each) => each.isAwaited);
      assert.deepEqual(await isAwaited(), [false]);
      const news = new Promise<void>((resolve) => a.leases.onNews(resolve));
      await b.leases.ready([{ shard: 0, epoch: grant.epoch + 1 }]);
      assert.deepEqual(await isAwaited(), [false], 'it is of another epoch');
      await b.leases.ready([grant]);
      await news;
      assert.deepEqual(await isAwaited(), [true]);
      await a.leases.give([grant]);
      await taken(b, 0, 'b');
      assert.deepEqual(await isAwaited(), [false]);
    }));

  test(`${name}: what is prepared and changed afterwards is loaded as it is`, () =>
    twoNodes(async ({ a, b }) => {
      const [grant, other] = [await taken(a, 0, 'a'), await taken(a, 1, 'a')];
      let seq = 0;
      const change = async (...mutations: Mutation[]) =>
        assert.equal(await commit(a, grant, ++seq, ...mutations), 'committed');
      const loaded = async () => (await Array.fromAsync(a.load([0]))).flat().map((each) => plainLoaded(each));
      const prepared = async (meanwhile?: () => Promise<void>) => {
        const preparation = b.prepare!(0);
        const blocks = new Map<number, readonly LoadedSubmission[]>();
        for await (const { block, submissions } of preparation.read()) {
          if (blocks.size === 0) await meanwhile?.();
          blocks.set(block, submissions);
        }
        return async () => {
          for await (const { block, submissions } of preparation.changed()) blocks.set(block, submissions);
          const all = [...blocks].sort(([x], [y]) => x - y).flatMap(([, submissions]) => submissions);
          return all.map((each) => plainLoaded(each));
        };
      };
      const ids = Array.from({ length: 12 }, (_, i) => BigInt(i + 1));
      const changes: Mutation[][] = [
        [],
        [page(2n, 0, [1])],
        [tries(3n, 4, 1, 0)],
        [page(3n, 0, [4])],
        [failedChunk(4n, 2, 'it broke')],
        [failedChunk(4n, 2, null)],
        [{ kind: 'retry', id: 5n }],
        [control(6n, { startAfterMs: 5 })],
        [completed(7n, 100)],
        [cancelled(8n, 100)],
        [insertOf(13n)],
        [{ kind: 'retry', id: 9n }],
      ];
      await change(
        ...ids.map((id) => insertOf(id)),
        failedChunk(5n, 1, 'it broke'),
        tries(5n, 2, 3, 0),
        failed(9n, 50),
      );
      for (const mutations of changes) {
        const settled = await prepared();
        if (mutations.length > 0) await change(...mutations);
        assert.deepEqual(await settled(), await loaded(), String(mutations[0]?.kind));
      }
      // What comes while it is read, and is gone when it is put right.
      const comeAndGone: [Mutation, Mutation][] = [
        [insertOf(14n), completed(14n, 100)],
        [failedChunk(12n, 3, 'it broke'), { kind: 'retry', id: 12n }],
        [tries(12n, 5, 1, 0), { kind: 'retry', id: 12n }],
      ];
      for (const [comes, goes] of comeAndGone) {
        const settled = await prepared(() => change(comes));
        await change(goes);
        assert.deepEqual(await settled(), await loaded(), `${comes.kind}, then ${goes.kind}`);
      }
      const settled = await prepared();
      assert.equal(await commit(a, other, 1, insertOf(4_096n), page(4_096n, 0, [1])), 'committed');
      await change(completed(1n, 100), completed(2n, 100));
      await a.forget([1n, 2n, 7n, 8n]);
      assert.deepEqual(await settled(), await loaded());
    }));

  test(`${name}: others see which shards a node avoids, and hear when that changes`, () =>
    twoNodes(async ({ a, b }) => {
      const avoided = async () => (await b.leases.look(null)).nodes.map(({ avoids }) => avoids);
      await a.leases.look(claimOf('a'));
      assert.deepEqual(await avoided(), [[]]);
      for (const avoids of [[3, 17], [3], []]) {
        const news = new Promise<void>((resolve) => b.leases.onNews(resolve));
        const { nodes } = await a.leases.look({ ...claimOf('a'), avoids });
        await news;
        assert.deepEqual([nodes.map((node) => node.avoids), await avoided()], [[avoids], [avoids]]);
      }
    }));

  test(`${name}: a look shows what verbs have changed of the whole server`, () =>
    twoNodes(async ({ a, b }) => {
      const grant = await taken(a, 0, 'a');
      assert.equal((await b.leases.look(null)).server, null);
      const control = withPause(NO_SCOPE_CONTROL, 'manual', {
        verb: 'pause',
        detail: 'manual',
        atMs: 5,
        by: 'me',
        reason: null,
      })!;
      assert.equal(
        await commit(a, grant, 1, { kind: 'scope_control', scope: SERVER_SCOPE, control }),
        'committed',
      );
      assert.deepEqual((await b.leases.look(null)).server, control);
    }));
}
