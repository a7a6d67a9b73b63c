import type { Why } from '../../protocol/api/why.ts';
import { worst } from '../answers/why.ts';

type Content = Omit<Why, 'as_of' | 'age_ms'>;

/** Why not all goes on that is open on any node: as of the queue that is worst off. There is at least one part. */
export function mergeWhys(parts: readonly Content[]): Content {
  const [first] = parts as readonly [Content, ...Content[]];
  // A node with nothing to do, which names no queue, says nothing of the others.
  const open = parts.filter(({ queue }) => queue !== null);
  return worst(open) ?? worst(parts) ?? first;
}
