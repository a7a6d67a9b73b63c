import { ANSWERING_BUGS } from './answering.ts';
import type { Bug } from './bug.ts';
import { CONTROLLING_BUGS } from './controlling.ts';
import { FAILING_BUGS } from './failing.ts';
import { NODE_BUGS } from './nodes.ts';
import { QUEUE_BUGS } from './queues.ts';
import { SCHEDULING_BUGS } from './scheduling.ts';
import { SELECTING_BUGS } from './selecting.ts';
import { SHARD_BUGS } from './shards.ts';
import { WRITING_BUGS } from './writing.ts';

/** Bugs that the simulation must find. */
export const BUGS: readonly Bug[] = [
  ...WRITING_BUGS,
  ...SCHEDULING_BUGS,
  ...ANSWERING_BUGS,
  ...SELECTING_BUGS,
  ...QUEUE_BUGS.map((bug) => ({ ...bug, needs: 'queues' as const })),
  ...FAILING_BUGS,
  ...CONTROLLING_BUGS.map((bug) => ({ ...bug, needs: 'controls' as const })),
  ...NODE_BUGS,
  ...SHARD_BUGS,
];
