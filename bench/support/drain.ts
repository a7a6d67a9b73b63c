import type { RawChunk, RawConsumer } from './raw-consumer.ts';

export interface DrainOptions {
  readonly strategy: Buffer;
  /** Chunks that can be done. */
  readonly chunks: number;
  /** Outstanding ones, of each consumer. Default 1. */
  readonly reservations?: number;
  /** Chunks of a reservation. Default 64. */
  readonly max?: number;
  /** How long the chunks of a reservation take, in milliseconds; up to twice as long for the first. Default: nothing. */
  readonly workMs?: number;
}

/** Until that number of chunks is done; chunks per second. */
export async function drain(
  consumers: readonly RawConsumer[],
  { strategy, chunks, reservations = 1, max = 64, workMs = 0 }: DrainOptions,
): Promise<number> {
  let done = 0;
  const began = performance.now();
  await new Promise<void>((resolve) => {
    for (const consumer of consumers) {
      const worked = (reserved: readonly RawChunk[]) => {
        for (const chunk of reserved) consumer.complete(chunk);
        done += reserved.length;
        consumer.reserve(max, strategy);
        if (done === chunks) resolve();
      };
      // So that they do not all come at the same moments.
      let delayMs = workMs * (1 + Math.random());
      consumer.onChunks = (reserved) => {
        if (workMs === 0) worked(reserved);
        else setTimeout(worked, delayMs, reserved);
        delayMs = workMs;
      };
      for (let i = 0; i < reservations; i++) consumer.reserve(max, strategy);
    }
  });
  return chunks / ((performance.now() - began) / 1000);
}
