import type { RawConsumer } from './raw-consumer.ts';

export interface DrainOptions {
  readonly strategy: Buffer;
  /** Chunks that can be done. */
  readonly chunks: number;
  /** Outstanding ones, of each consumer. Default 1. */
  readonly reservations?: number;
  /** Chunks of a reservation. Default 64. */
  readonly max?: number;
}

/** Until that number of chunks is done; chunks per second. */
export async function drain(
  consumers: readonly RawConsumer[],
  { strategy, chunks, reservations = 1, max = 64 }: DrainOptions,
): Promise<number> {
  let done = 0;
  const began = performance.now();
  await new Promise<void>((resolve) => {
    for (const consumer of consumers) {
      consumer.onChunks = (reserved) => {
        for (const chunk of reserved) consumer.complete(chunk);
        done += reserved.length;
        consumer.reserve(max, strategy);
        if (done === chunks) resolve();
      };
      for (let i = 0; i < reservations; i++) consumer.reserve(max, strategy);
    }
  });
  return chunks / ((performance.now() - began) / 1000);
}
