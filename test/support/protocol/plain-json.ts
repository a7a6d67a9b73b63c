import type { InsertRequest } from '../../../src/protocol/producer/requests.ts';

/** Bodies of the producer protocol as plain values, in the shapes of docs/protocol.md: written apart from the codec. */

export function plainInsert(request: InsertRequest): Record<string, unknown> {
  const { contents } = request;
  return {
    chunk_contents:
      contents.kind === 'direct'
        ? { Direct: { contents: contents.contents.map(plainBytes) } }
        : { SeeObjectStorage: { prefix: contents.prefix, count: contents.count } },
    metadata: plainBytes(request.metadata),
    strategic_metadata: Object.fromEntries(
      [...request.strategicMetadata].map(([key, value]) => [key, Number(value)]),
    ),
    chunk_size: request.chunkSizeOps,
    ...(request.retryDelayMs > 0 ? { retry_delay_ms: request.retryDelayMs } : {}),
    ...(request.retry === null
      ? {}
      : {
          retry: {
            tries_max: request.retry.triesMax,
            delay_ms: request.retry.delayMs,
            factor: request.retry.factor,
            delay_ms_max: request.retry.delayMsMax,
            jitter: request.retry.jitter,
          },
        }),
    ...(request.failureMode === 'fail' ? {} : { failure_mode: request.failureMode }),
  };
}

export function plainBytes(content: Uint8Array | null): number[] | null {
  return content === null ? null : [...content];
}
