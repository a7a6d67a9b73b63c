import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { leaseConformance } from '../support/store/lease-conformance.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

leaseConformance('in memory', async () => {
  const clock = new ManualClock();
  const database = new MemoryDatabase();
  return {
    open: async () => new MemoryStore({ database, clock }),
    passes: async (ms) => clock.advance(ms),
  };
});
