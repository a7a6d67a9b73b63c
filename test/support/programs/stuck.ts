import type { ChunkContext } from '../../../src/consumer/index.ts';

/** Never comes back from the first try, and keeps its thread busy. */
export default function stuck(op: string, { retries }: ChunkContext): string {
  while (retries === 0);
  return op.toUpperCase();
}
