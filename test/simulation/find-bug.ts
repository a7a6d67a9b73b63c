import { readFileSync, writeFileSync } from 'node:fs';
import type { Bug } from './bugs/bug.ts';
import { BUGS } from './bugs/bugs.ts';
import { whileReplaced } from './replace.ts';
import { isControlled, queuesOf, simulate } from './world.ts';

const SEEDS_MAX = 200;
/** Of each bug, one that found it: tried first. Written by `npm run simulate -- --seeds`. */
const NOTED = new URL('bugs/seeds.json', import.meta.url);
const noted: Readonly<Record<string, number>> = JSON.parse(readFileSync(NOTED, 'utf8'));
/** These find most bugs, and follow. Then all in their order. */
const FIRST = [1, 2, 14, 30, 62, 26];
const STEPS = 1_000;
/** Several nodes have more to go wrong before anything comes of it. */
const STEPS_OF_NODES = 2_000;

export interface FoundBug {
  readonly seed: number;
  /** Seeds that were tried before and did not find it: 0 unless what the queue does has changed since one was noted. */
  readonly missed: number;
}

/** Plants the bug and runs seeds until one fails; null if none does. */
export function findBug({
  name,
  plant,
  needs,
  nodes = 1,
  steps = nodes === 1 ? STEPS : STEPS_OF_NODES,
}: Bug): Promise<FoundBug | null> {
  const all = Array.from({ length: SEEDS_MAX }, (_, i) => i + 1);
  const has = (seed: number) =>
    needs === undefined || (needs === 'queues' ? queuesOf(seed) > 1 : isControlled(seed));
  const inOrder = [...FIRST, ...all];
  const first = noted[name];
  const seeds = new Set([...(first === undefined ? [] : [first]), ...inOrder.filter(has), ...inOrder]);
  return whileReplaced(plant, async () => {
    let missed = 0;
    for (const seed of seeds) {
      const isFound = await simulate(seed, steps, { nodes }).then(
        () => false,
        () => true,
      );
      if (isFound) return { seed, missed };
      missed++;
    }
    return null;
  });
}

/** Notes for each bug the seed that finds it now. Returns how many have changed. */
export async function noteSeeds(): Promise<number> {
  const found: Record<string, number> = {};
  for (const bug of BUGS) {
    const seed = (await findBug(bug))?.seed;
    if (seed === undefined) throw new Error(`no seed finds that ${bug.name}`);
    found[bug.name] = seed;
  }
  writeFileSync(NOTED, `${JSON.stringify(found, null, 2)}\n`);
  return BUGS.filter(({ name }) => noted[name] !== found[name]).length;
}
