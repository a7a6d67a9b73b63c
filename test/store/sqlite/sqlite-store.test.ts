import { storeConformance } from '../../../src/store/conformance/suite.ts';
import { seededRandom } from '../../../src/system/random.ts';
import { faultyStore, randomFaults } from '../../support/store/faulty-store.ts';
import { sqliteFixture } from '../../support/store/sqlite-fixture.ts';

storeConformance('SQLite store', {
  fixture: () => sqliteFixture('thread'),
  second: 'refused',
  randomRuns: 3,
});

storeConformance('SQLite store with faults', {
  second: 'refused',
  fixture: async () => {
    const fixture = await sqliteFixture('inline');
    const random = seededRandom(5);
    return { ...fixture, open: async () => faultyStore(await fixture.open(), randomFaults(random)) };
  },
});
