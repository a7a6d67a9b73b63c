import type { Bug } from './bugs/bug.ts';
import { whileReplaced } from './replace.ts';
import { isControlled, queuesOf, simulate } from './world.ts';

const SEEDS_MAX = 200;
/** The first find most bugs. The others follow in their order. */
const FIRST = [1, 2, 14, 30, 62, 26];
const STEPS = 1_000;
/** Several nodes have more to go wrong before anything comes of it. */
const STEPS_OF_NODES = 2_000;

/** Plants the bug and runs seeds until one fails: that one; null if none does. */
export function findBug({ plant, seed: first, needs, nodes = 1 }: Bug): Promise<number | null> {
  const all = Array.from({ length: SEEDS_MAX }, (_, i) => i + 1);
  const has = (seed: number) =>
    needs === undefined || (needs === 'queues' ? queuesOf(seed) > 1 : isControlled(seed));
  const inOrder = [...FIRST, ...all];
  const seeds = new Set([...(first === undefined ? [] : [first]), ...inOrder.filter(has), ...inOrder]);
  return whileReplaced(plant, async () => {
    for (const seed of seeds) {
      const isFound = await simulate(seed, nodes === 1 ? STEPS : STEPS_OF_NODES, { nodes }).then(
        () => false,
        () => true,
      );
      if (isFound) return seed;
    }
    return null;
  });
}
