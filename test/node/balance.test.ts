import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ShardId } from '../../src/model/ids.ts';
import { SHARDS } from '../../src/model/shard.ts';
import { type BalancedNode, dealOut, planOf } from '../../src/node/balance.ts';

const ALL: readonly ShardId[] = Array.from({ length: SHARDS }, (_, shard) => shard);

/** Addresses may be equal: of a node that was killed and its successor, for a while. */
const nodeSets = fc
  .uniqueArray(fc.record({ holder: fc.uuid(), address: fc.integer({ min: 1, max: 200 }) }), {
    selector: ({ holder }) => holder,
    minLength: 1,
    maxLength: 70,
  })
  .map((nodes) => nodes.map(({ holder, address }) => ({ holder, address: `10.0.0.${address}:3999` })));

function counts(owners: ReadonlyMap<ShardId, string>, nodes: readonly BalancedNode[]): number[] {
  return nodes.map(({ holder }) => [...owners.values()].filter((each) => each === holder).length);
}

test('each shard has one owner that is present, they have one more or less, and every node says the same', () => {
  fc.assert(
    fc.property(nodeSets, fc.integer({ min: 1, max: SHARDS }), (nodes, size) => {
      const shards = ALL.slice(0, size);
      const owners = dealOut(shards, nodes);
      assert.deepEqual(
        [...owners.keys()].sort((a, b) => a - b),
        shards,
      );
      const each = counts(owners, nodes);
      assert.ok(Math.max(...each) - Math.min(...each) <= 1, each.join());
      const turned = dealOut(shards.toReversed(), nodes.toReversed());
      for (const shard of shards) assert.equal(turned.get(shard), owners.get(shard));
    }),
    { numRuns: 50 },
  );
});

test('a node that comes or goes moves little more than its share, and one that is restarted gets the same again', () => {
  for (let size = 1; size <= 8; size++) {
    for (let round = 0; round < 10; round++) {
      const nodes = Array.from({ length: size + 1 }, (_, i) => ({
        holder: `node ${round} ${i}`,
        address: `10.0.${round}.${i}:3999`,
      }));
      const before = dealOut(ALL, nodes.slice(0, -1));
      const after = dealOut(ALL, nodes);
      const moved = ALL.filter((shard) => before.get(shard) !== after.get(shard)).length;
      assert.ok(
        moved <= Math.ceil(SHARDS / (size + 1)) + 12,
        `${moved} of ${SHARDS} for ${size} nodes and one`,
      );
      const again = dealOut(ALL, [...nodes.slice(0, -1), { ...nodes.at(-1)!, holder: 'another' }]);
      for (const shard of ALL)
        assert.equal(again.get(shard) === 'another', after.get(shard) === nodes.at(-1)!.holder);
    }
  }
});

test('whoever has what: after as many gives as there are shards everybody has a share, and nobody gives more', () => {
  const start = fc.array(fc.nat(69), { minLength: SHARDS, maxLength: SHARDS });
  fc.assert(
    fc.property(nodeSets, start, (nodes, had) => {
      const owners = dealOut(ALL, nodes);
      const holders = new Map(ALL.map((shard) => [shard, nodes[had[shard]! % nodes.length]!.holder]));
      let moves = 0;
      for (let isMoving = true; isMoving; ) {
        isMoving = false;
        for (const { holder: self } of nodes) {
          const held = ALL.filter((shard) => holders.get(shard) === self);
          const view = { owners, nodes: nodes.length, self, held, free: [], abandoned: new Set<ShardId>() };
          const [give] = planOf(view).give;
          if (give === undefined) continue;
          assert.ok(held.includes(give) && ++moves <= SHARDS);
          // Its owner takes it, and nobody else does.
          for (const { holder } of nodes) {
            const { take } = planOf({ ...view, self: holder, held: [], free: [give] });
            assert.equal(take.length, owners.get(give) === holder ? 1 : 0);
          }
          holders.set(give, owners.get(give)!);
          isMoving = true;
        }
      }
      const share = Math.ceil(SHARDS / nodes.length);
      assert.ok(Math.max(...counts(holders, nodes)) <= share);
    }),
    { numRuns: 30 },
  );
});

test('a shard that a node avoids is dealt to one that does not, if there is one', () => {
  const bare = ['a', 'b', 'c'].map((holder) => ({ holder, address: `${holder}:3999` }));
  const before = dealOut(ALL, bare);
  const ofA = ALL.filter((shard) => before.get(shard) === 'a');
  const nodes = bare.map((node) => (node.holder === 'a' ? { ...node, avoids: ofA } : node));
  const after = dealOut(ALL, nodes);
  for (const shard of ALL) {
    if (ofA.includes(shard)) assert.match(after.get(shard) ?? '', /^[bc]$/);
    else assert.equal(after.get(shard), before.get(shard));
  }
  // Nobody else has room, or there is nobody else.
  const [a, b] = [{ ...bare[0]!, avoids: ALL }, bare[1]!];
  assert.deepEqual(counts(dealOut(ALL, [a, b]), [a, b]), [0, SHARDS]);
  assert.deepEqual(dealOut(ALL, [a]), dealOut(ALL, [bare[0]!]));
  assert.deepEqual(dealOut(ALL, [a, { ...b, avoids: ALL }]), dealOut(ALL, [bare[0]!, b]));
});

test('what its owner does not come for is taken by whoever sees it first', () => {
  const nodes = ['a', 'b'].map((holder) => ({ holder, address: `${holder}:3999` }));
  const owners = dealOut([0], nodes);
  const other = owners.get(0) === 'a' ? 'b' : 'a';
  const view = { owners, nodes: 2, self: other, held: [], free: [0] };
  assert.deepEqual(planOf({ ...view, abandoned: new Set() }).take, []);
  assert.deepEqual(planOf({ ...view, abandoned: new Set([0]) }).take, [0]);
});

test('the only shard is not given away because another node comes', () => {
  for (const self of ['a', 'b']) {
    const nodes = ['a', 'b'].map((holder) => ({ holder, address: `${holder}:3999` }));
    const view = {
      owners: dealOut([0], nodes),
      nodes: 2,
      self,
      held: [0],
      free: [],
      abandoned: new Set<ShardId>(),
    };
    assert.deepEqual(planOf(view).give, []);
  }
});
