import { SHARDS } from '../model/shard.ts';
import type { Missing } from '../protocol/api/lists.ts';
import type { Io } from './io.ts';

/** Of what an answer is silent, a line for each; none, most often. */
export function missingText({ nodes_missing: nodes = [], shards_missing: shards = 0 }: Missing): string[] {
  const lines = nodes.map((address) => `node ${address} does not answer: this is without its queues`);
  if (shards > 0)
    lines.push(
      `${shards} of ${SHARDS} shards ${shards === 1 ? 'is' : 'are'} open on no node: this is without their queues`,
    );
  return lines;
}

/** What is printed is without that. */
export function tellMissing(io: Io, missing: Missing): void {
  for (const line of missingText(missing)) io.stderr.write(`opsqueue: ${line}\n`);
}
