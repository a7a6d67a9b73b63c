import { storeConformance } from '../../../src/store/conformance/suite.ts';
import { MemoryDatabase, MemoryStore } from '../../../src/store/memory/memory-store.ts';
import { seededRandom } from '../../../src/system/random.ts';
import { faultyStore, randomFaults } from '../../support/store/faulty-store.ts';

async function fixture() {
  const database = new MemoryDatabase();
  return { open: async () => new MemoryStore({ database }), dispose: async () => {} };
}

storeConformance('memory store', { fixture, second: 'fences' });

storeConformance('memory store with faults', {
  second: 'fences',
  fixture: async () => {
    const { open, dispose } = await fixture();
    const random = seededRandom(4);
    return { open: async () => faultyStore(await open(), randomFaults(random)), dispose };
  },
});
