import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inThread } from './aside.ts';
import { RARE_PLACES } from './rare-places.ts';

const run = inThread();

/**
 * Seeds that found something once: answers that took time and still had what was done, ended or expired meanwhile; and
 * (the last but four) an insert that was acknowledged with an id that is not on disk, because what it had found by its
 * prefix was forgotten while the outcome of its commit was unknown; an answer that was made for a consumer that had
 * gone; and a sick consumer that waited on when the chunk that it held was cancelled. The last two are of the simulation
 * itself: a retry while an answer waited for its inputs, and one whose batch was sent once more.
 */
const SEEDS_OF_OLD: readonly (readonly [seed: number, steps: number])[] = [
  [59, 300],
  [73, 300],
  [93, 400],
  [113, 400],
  [400, 400],
  [481, 400],
  [554, 400],
  [10_070, 1_500],
  [10_284, 1_500],
  [3_957_650_512, 2_000],
  [1_053_939_878, 250],
  [1_994_324_201, 2_000],
  [3_685_935_612, 1_000],
  [1_705_663_262, 2_000],
];

test('two hundred seeds find nothing', async () => {
  const totals = { submissions: 0, handOuts: 0, crashes: 0, forgotten: 0 };
  for (let seed = 1; seed <= 200; seed++) {
    const { submissions, handOuts, crashes, forgotten } = await run('simulate', seed, 400);
    totals.submissions += submissions;
    totals.handOuts += handOuts;
    totals.crashes += crashes;
    totals.forgotten += forgotten;
  }
  // A simulation in which nothing happens finds nothing.
  assert.ok(
    totals.submissions > 500 && totals.handOuts > 5_000 && totals.crashes > 50 && totals.forgotten > 5,
    JSON.stringify(totals),
  );
  const timesOfPlaces = await run('timesOfPlaces');
  const neverAsked = RARE_PLACES.filter((place) => timesOfPlaces.get(place) === 0);
  assert.deepEqual(neverAsked, [], 'rare places that were never reached');
});

test('forty seeds of two nodes and of three on one store find nothing', async () => {
  const totals = { handOuts: 0, takeovers: 0 };
  for (let seed = 1; seed <= 40; seed++) {
    for (const nodes of [2, 3]) {
      const { handOuts, takeovers } = await run('simulate', seed, 400, { nodes });
      totals.handOuts += handOuts;
      totals.takeovers += takeovers;
    }
  }
  assert.ok(totals.handOuts > 3_000 && totals.takeovers > 150, JSON.stringify(totals));
});

test('the seeds that found something find nothing any more', async () => {
  for (const [seed, steps] of SEEDS_OF_OLD) await run('simulate', seed, steps, { queues: 1 });
});

test('a seed gives the same run every time', async () => {
  assert.deepEqual(await run('simulate', 42, 800), await run('simulate', 42, 800));
});
