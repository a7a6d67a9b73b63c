import type { Queue } from '../../../src/queue/queue.ts';
import type { Clock } from '../../../src/system/time/clock.ts';
import type { FailuresQuery } from '../../../src/views/answers/failure-groups.ts';
import type { SubmissionsQuery } from '../../../src/views/answers/submissions.ts';
import type { Computation } from '../../../src/views/frames.ts';
import { Views, type ViewsOptions } from '../../../src/views/views.ts';

/** All open submissions, the newest first. */
export const OPEN_SUBMISSIONS = {
  queue: null,
  state: 'open',
  meta: new Map(),
  prefix: null,
  prefix_starts: null,
  inserted_before: null,
  inserted_after: null,
  ended_before: null,
  ended_after: null,
  failure: null,
  sort: 'inserted',
  order: 'desc',
  limit: 50,
  cursor: null,
} as const satisfies SubmissionsQuery;

/** All failures, in groups. */
export const GROUPED_FAILURES = {
  queue: null,
  submission: null,
  meta: new Map(),
  consumer: null,
  cause: null,
  fingerprint: null,
  group: 'fingerprint',
  limit: 50,
  cursor: null,
} as const satisfies FailuresQuery;

/** Views of a queue, of a server that is made up. */
export function startViews(
  { queue, clock }: { readonly queue: Queue; readonly clock: Clock },
  facts: Partial<ViewsOptions['facts']> = {},
): Views {
  const views = new Views({
    queue,
    clock,
    facts: {
      version: '1.0.0',
      node: 'v24.0.0',
      platform: 'linux x64',
      memoryBytes: () => 0,
      settings: {},
      storeKind: 'memory',
      connectionsRejected: () => ({}),
      address: () => '10.0.0.1:3999',
      ...facts,
    },
    cpuMs: () => 0,
    diskSpace: null,
    shardsMissing: () => 0,
    sizeBytes: async () => 0,
  });
  views.start();
  return views;
}

/** What is computed, in one go. */
export function made<T>(computation: Computation<T>): T {
  for (;;) {
    const step = computation.next();
    if (step.done === true) return step.value;
  }
}
