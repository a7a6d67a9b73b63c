import { LeaseTenure } from '../../../src/node/lease-tenure.ts';
import { Tenures } from '../../../src/node/tenures.ts';
import { Schedules } from '../../../src/queue/shard/schedules.ts';
import { Shard } from '../../../src/queue/shard/shard.ts';
import { Shards } from '../../../src/queue/shard/shards.ts';
import { MemoryLeases } from '../../../src/store/memory/memory-leases.ts';
import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import { replace } from '../replace.ts';
import { SimOffice } from '../sim-office.ts';
import { SimStore } from '../sim-store.ts';
import type { Bug } from './bug.ts';

/** Bugs of nodes that each have some of the queues. */
export const SHARD_BUGS: readonly Bug[] = [
  {
    name: 'a shard is given away while its office goes on',
    plant() {
      replace(
        LeaseTenure.prototype,
        'end',
        (original) =>
          function (reason) {
            if (!reason.message.includes('has given its lease away')) original.call(this, reason);
          },
      );
      replace(SimOffice.prototype, 'stop', () => async () => {});
    },
  },
  {
    name: 'a lease counts as renewed when another one was',
    plant() {
      replace(
        Tenures.prototype,
        'seen',
        (original) =>
          function (sight, sent) {
            const all = sight.leases.map(({ shard }) => shard);
            original.call(this, sight.renewed.length === 0 ? sight : { ...sight, renewed: all }, sent);
          },
      );
      // Most often those that are due are renewed together: so that one is without the others.

      replace(
        Tenures.prototype,
        'due',
        (original) =>
          function () {
            return original.call(this).slice(0, 1);
          },
      );
    },
  },
  {
    name: 'a node takes one shard more than is free',
    plant() {
      replace(
        MemoryLeases.prototype,
        'look',
        (original) =>
          async function (...args) {
            const sight = await original.call(this, ...args);
            if (sight.free.length === 0) return sight;
            return { ...sight, free: [...sight.free, ...sight.leases.slice(0, 1)] };
          },
      );
      replace(
        MemoryLeases.prototype,
        'take',
        (original) =>
          async function (free, claim) {
            const { leases } = await this.look(null);
            // Whoever had it has it no more, and is not told.
            for (const { shard, epoch } of free) {
              if (leases.some((lease) => lease.shard === shard)) await this.give([{ shard, epoch }]);
            }
            return original.call(this, free, claim);
          },
      );
    },
  },
  {
    name: 'what was prepared is taken for what is stored by then',
    plant() {
      replace(
        SimStore.prototype,
        'prepare',
        (original) =>
          function (shard) {
            const preparation = original.call(this, shard);
            return { read: () => preparation.read(), async *changed() {} };
          },
      );
    },
  },
  {
    name: 'what has changed since it was prepared stays on the schedule as it was',
    plant() {
      replace(Schedules.prototype, 'withdraw', () => () => {});
    },
  },
  {
    name: 'ids do not tell shards apart',
    plant() {
      replace(
        Shard.prototype,
        'nextId',
        (original) =>
          function (nowMs) {
            // Of the same tenth of a second, so that two shards have ids in common often enough.
            return original.call(this, nowMs - (nowMs % 100)) & ~(0x3ffn << 12n);
          },
      );
    },
  },
  {
    name: 'what is done in one shard is written as a batch of another',
    plant() {
      replace(
        Shards.prototype,
        'of',
        (original) =>
          function (queue) {
            const [first] = this;
            return first ?? original.call(this, queue);
          },
      );
    },
  },
  {
    name: 'what is stored of other shards is loaded as well',
    plant() {
      replace(
        MemoryStore.prototype,
        'load',
        (original) =>
          function (shards) {
            return original.call(this, [...shards, 25]);
          },
      );
    },
  },
].map((bug) => ({ ...bug, nodes: 2, needs: 'queues' as const }));
