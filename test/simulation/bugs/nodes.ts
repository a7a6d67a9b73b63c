import type { ShardId } from '../../../src/model/ids.ts';
import { LeaseTenure } from '../../../src/node/lease-tenure.ts';
import { Shard } from '../../../src/queue/shard/shard.ts';
import type { LeaseSight } from '../../../src/store/lease.ts';
import { MemoryLeases } from '../../../src/store/memory/memory-leases.ts';
import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import { nowOfNode } from '../rare-methods.ts';
import { replace, replaceGetter } from '../replace.ts';
import { SimLeases } from '../sim-leases.ts';
import { SimOffice } from '../sim-office.ts';
import { SimWorld } from '../sim-world.ts';
import type { Bug } from './bug.ts';

/** Bugs of several nodes on one store. */
export const NODE_BUGS: readonly Bug[] = [
  {
    name: 'a renewal counts from its answer on',
    nodes: 2,
    plant() {
      replace(
        LeaseTenure.prototype,
        'renewed',
        (original) =>
          function (sent) {
            original.call(this, nowOfNode() ?? sent);
          },
      );
    },
  },
  {
    // The monotonic clock of a machine that is suspended does.
    name: 'a lease is judged by clocks that all stand still while the process sleeps',
    nodes: 2,
    plant() {
      replace(
        SimWorld.prototype,
        'wallMs',
        (original) =>
          function () {
            return original.call(this) - this.sleptMs;
          },
      );
    },
  },
  {
    name: 'a renewal without an answer counts',
    nodes: 2,
    plant() {
      let last: LeaseSight | null = null;
      replace(
        SimLeases.prototype,
        'look',
        (original) =>
          async function (node, renew = []) {
            try {
              last = await original.call(this, node, renew);
              return last;
            } catch (error) {
              if (last === null) throw error;
              return { ...last, renewed: renew.map(({ shard }) => shard) };
            }
          },
      );
    },
  },
  {
    name: 'a lease is taken while another node has it',
    nodes: 2,
    plant() {
      let holder: string | null = null;
      replace(
        MemoryLeases.prototype,
        'take',
        (original) =>
          function (free, claim) {
            const taken = original.call(this, free, { ...claim, holder: holder ?? claim.holder });
            holder ??= claim.holder;
            return taken;
          },
      );
      replace(
        MemoryLeases.prototype,
        'look',
        (original) =>
          async function (...args) {
            const sight = await original.call(this, ...args);
            return { ...sight, leases: [], free: [...sight.free, ...sight.leases] };
          },
      );
    },
  },
  {
    name: 'ids start anew when another node takes over',
    nodes: 2,
    plant() {
      replace(
        MemoryLeases.prototype,
        'take',
        (original) =>
          async function (free, claim) {
            const grants = await original.call(this, free, claim);
            return grants.map((grant) => ({ ...grant, highestId: (1_699_999_999_000n << 22n) | 7n }));
          },
      );
    },
  },
  {
    name: 'a commit goes without its fence',
    nodes: 2,
    plant() {
      const epochs = new Map<ShardId, number>();
      replace(
        MemoryLeases.prototype,
        'take',
        (original) =>
          async function (free, claim) {
            const grants = await original.call(this, free, claim);
            for (const { shard, epoch } of grants) epochs.set(shard, epoch);
            return grants;
          },
      );
      replace(
        MemoryStore.prototype,
        'commit',
        (original) =>
          async function (batch) {
            const epoch = epochs.get(batch.shard) ?? batch.epoch;
            if (batch.epoch === epoch) return original.call(this, batch);
            const lastSeq = await this.lastSeq(batch.shard);
            return original.call(this, { ...batch, epoch, seq: lastSeq + 1 });
          },
      );
    },
  },
  {
    name: 'a queue goes on after its lease',
    nodes: 2,
    plant() {
      const stopped = new WeakSet<Shard>();
      replace(
        Shard.prototype,
        'stop',
        (original) =>
          function (graceMs) {
            stopped.add(this);
            return original.call(this, graceMs);
          },
      );
      for (const name of ['isOpen', 'isReady'] as const) {
        replaceGetter(
          Shard.prototype,
          name,
          () =>
            function () {
              return !stopped.has(this) && !this.lost.aborted;
            },
        );
      }
    },
  },
  {
    name: 'what producers asked is answered after the lease',
    nodes: 2,
    plant() {
      replace(SimOffice.prototype, 'mayAnswer', () => () => true);
    },
  },
];
