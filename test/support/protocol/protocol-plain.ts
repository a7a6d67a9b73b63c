import type { ChunkId } from '../../../src/model/ids.ts';
import type { Strategy } from '../../../src/model/strategy.ts';
import type { ClientMessage, ServerMessage } from '../../../src/protocol/consumer/types.ts';

/** The messages of the consumer protocol as plain values, in the shapes of docs/protocol.md: written apart from the codec. */

export function plainClientMessage(message: ClientMessage): object {
  return { nonce: message.nonce, contents: plainContents(message) };
}

function plainContents(message: ClientMessage): object {
  switch (message.kind) {
    case 'reserve':
      return { WantToReserveChunks: { max: message.max, strategy: plainStrategy(message.strategy) } };
    case 'complete':
      return {
        CompleteChunk: { id: plainChunk(message.chunk), output_content: plainBytes(message.outputContent) },
      };
    case 'fail':
      return {
        FailChunk: {
          id: plainChunk(message.chunk),
          failure: message.failure,
          ...(message.retryable === false ? { retryable: false } : {}),
          ...((message.delayMs ?? 0) > 0 ? { delay_ms: message.delayMs } : {}),
        },
      };
    case 'extend':
      return { ExtendReservations: { ids: message.chunks.map(plainChunk) } };
    case 'release':
      return { ReleaseChunks: { ids: message.chunks.map(plainChunk) } };
    case 'cancel_reserve':
      return { CancelReserve: { nonce: message.reserveNonce } };
  }
}

export function plainStrategy(strategy: Strategy): unknown {
  switch (strategy.kind) {
    case 'oldest':
      return 'Oldest';
    case 'newest':
      return 'Newest';
    case 'random':
      return 'Random';
    case 'or_else':
      return { OrElse: { first: plainStrategy(strategy.first), fallback: plainStrategy(strategy.fallback) } };
  }
  const meta_key = strategy.metaKey;
  const underlying = plainStrategy(strategy.underlying);
  switch (strategy.kind) {
    case 'prefer_distinct':
      return { PreferDistinct: { meta_key, underlying } };
    case 'priority':
      return { Priority: { meta_key, underlying } };
    case 'select_only':
      return { SelectOnly: { meta_key, values: strategy.values, underlying } };
    case 'select_except':
      return { SelectExcept: { meta_key, values: strategy.values, underlying } };
    case 'max_simultaneous':
      return { MaxSimultaneous: { meta_key, max: strategy.max, underlying } };
  }
}

export function plainServerMessage(message: ServerMessage): object {
  switch (message.kind) {
    case 'init': {
      const { heartbeatIntervalMs, features } = message;
      const seconds = Math.floor(heartbeatIntervalMs / 1000);
      return {
        Init: {
          max_missable_heartbeats: message.missableHeartbeatsMax,
          heartbeat_interval: { secs: seconds, nanos: (heartbeatIntervalMs - seconds * 1000) * 1e6 },
          version_info: message.versionInfo,
          conn_id: message.connId,
          ...(features.length > 0 ? { features } : {}),
        },
      };
    }
    case 'reserved':
      return sync(message.nonce, { Ok: message.chunks.map(plainReserved) });
    case 'reserve_refused':
      return sync(message.nonce, { Err: message.reason === null ? [] : [message.reason] });
    case 'expired':
      return { Async: { ChunkReservationExpired: plainChunk(message.chunk) } };
    case 'dropped':
      return { Async: { ChunkDropped: { ...plainChunk(message.chunk), reason: message.reason } } };
  }
}

function plainReserved(item: Extract<ServerMessage, { kind: 'reserved' }>['chunks'][number]): object[] {
  const { submission } = item;
  return [
    { ...plainChunk(item.chunk), input_content: plainBytes(item.inputContent), retries: item.retries },
    {
      id: submission.id,
      prefix: submission.prefix,
      chunks_total: submission.chunksTotal,
      chunks_done: item.chunksDone,
      chunk_size: submission.chunkSizeOps,
      metadata: plainBytes(submission.metadata),
      strategic_metadata: new Map(submission.strategicMetadata),
      otel_trace_carrier: submission.otelTraceCarrier,
    },
  ];
}

function sync(nonce: number | bigint, result: object): object {
  return { Sync: { nonce, contents: { ChunksReserved: result } } };
}

function plainChunk(chunk: ChunkId) {
  return { submission_id: chunk.submissionId, chunk_index: chunk.chunkIndex };
}

function plainBytes(content: Uint8Array | null): number[] | null {
  return content === null ? null : [...content];
}
