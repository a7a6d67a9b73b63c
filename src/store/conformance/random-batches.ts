import { type Random, randomInt, seededRandom } from '../../system/random.ts';
import type { Mutation } from '../store.ts';
import {
  cancelled,
  completed,
  completedWithFailures,
  control,
  failed,
  failedChunk,
  insertOf,
  output,
  page,
  scopeControl,
  tries,
} from './mutations.ts';

const BATCHES_MAX = 6;
const MUTATIONS_MAX = 8;

/** Batches about three submissions, with prefixes that meet; the same seed gives the same ones. */
export function randomBatches(seed: number): Mutation[][] {
  const random = seededRandom(seed);
  const batches = Array.from({ length: 1 + randomInt(random, BATCHES_MAX) }, () =>
    Array.from({ length: 1 + randomInt(random, MUTATIONS_MAX) }, () => randomMutation(random)),
  );
  return legal(batches);
}

function randomMutation(random: Random): Mutation {
  const id = oneOf(random, [1n, 2n, 3n]);
  switch (randomInt(random, 11)) {
    case 0:
      return page(id, 1, [randomInt(random, 900)]);
    case 1:
      return tries(id, randomInt(random, 5000), randomInt(random, 10));
    case 2:
      return output(id, randomInt(random, 5000), randomInt(random, 256));
    case 3:
      return oneOf(random, [completed, failed, cancelled, completedWithFailures])(id, 77);
    case 4:
      return control(id, { startAfterMs: randomInt(random, 5), deadlineMs: randomInt(random, 5) });
    case 5:
      return scopeControl(oneOf(random, ['*', '', 'images']), randomInt(random, 5));
    case 6:
      return failedChunk(id, randomInt(random, 5000), oneOf(random, ['why', null]));
    case 7:
      return { kind: 'retry', id };
    default:
      return insertOf(id, { prefix: oneOf(random, ['a', 'b', null]), chunksTotal: 5000 });
  }
}

function oneOf<T>(random: Random, values: readonly T[]): T {
  return values[randomInt(random, values.length)]!;
}

/** Without what a queue never writes: something about a submission that is not open. */
function legal(batches: readonly Mutation[][]): Mutation[][] {
  const open = new Set<bigint>();
  const incomplete = new Set<bigint>();
  const seen = new Set<bigint | string>();
  return batches.map((batch) =>
    batch.filter((mutation) => {
      if (mutation.kind === 'insert') {
        const { id, prefix } = mutation.record;
        if (seen.has(id)) return false;
        if (prefix !== null && seen.has(prefix)) return true;
        open.add(id);
        seen.add(id).add(prefix ?? id);
        return true;
      }
      if (mutation.kind === 'scope_control') return true;
      const isOpen = open.has(mutation.id);
      if (mutation.kind === 'retry' && incomplete.delete(mutation.id)) {
        open.add(mutation.id);
        return true;
      }
      if (mutation.kind === 'end' && isOpen) {
        open.delete(mutation.id);
        if (mutation.end.state !== 'completed') incomplete.add(mutation.id);
      }
      return isOpen;
    }),
  );
}
