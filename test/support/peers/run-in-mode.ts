import type { ProducerClient, Source, SubmitOptions, WatchOptions } from '../../../src/producer/index.ts';

/** All ways to read what comes of operations. */
export const MODES = ['all-done', 'as-completed', 'any-order'] as const;
export type Mode = (typeof MODES)[number];

/** Results in order, or chunks in any order. */
export async function* runInMode(
  producer: ProducerClient,
  mode: Mode,
  operations: Source<unknown>,
  options: SubmitOptions & WatchOptions,
): AsyncGenerator<unknown> {
  if (mode === 'any-order') {
    const { onProgress, ...submit } = options;
    const submission = await producer.submit(operations, submit);
    yield* submission.chunks({ onProgress, signal: submit.signal });
  } else yield* producer.runSubmission(operations, { ...options, when: mode });
}
