import '../system/entry/node-version.ts';

export {
  type Contract,
  type ContractCodec,
  type ContractOptions,
  defineContract,
} from '../contract/contract.ts';
export type {
  StandardSchema,
  StandardSchemaIssue,
  StandardSchemaProps,
  StandardSchemaResult,
} from '../contract/standard-schema.ts';
export {
  ClientClosedError,
  type ContractIssue,
  ContractViolationError,
  IncorrectUsageError,
  NonRetryableError,
  OpsqueueError,
  ReservationRefusedError,
  RetryLaterError,
  TransportLostError,
} from '../model/errors.ts';
export type { ChunkIndex } from '../model/ids.ts';
export { OpError, type OpErrorDetails } from '../model/op-error.ts';
export { Strategy } from '../model/strategy.ts';
export type { SubmissionInfo } from '../model/submission.ts';
export type { QueueTlsOptions } from '../net/address/queue-tls.ts';
export { ObjectStoreError, type ObjectStoreErrorCode } from '../objects/errors.ts';
export type {
  ObjectCallOptions,
  ObjectInfo,
  ObjectStore,
  ObjectStoreOptions,
} from '../objects/object-store.ts';
export {
  CborTag,
  type ChunkCodec,
  ChunkUndecodableError,
  ChunkUnencodableError,
  cborChunkCodec,
  jsonChunkCodec,
} from '../protocol/chunk/codec.ts';
export type { NamedCodec, OperationCodec } from '../protocol/chunk/codec-options.ts';
export type { ChunkCompression } from '../protocol/chunk/compression.ts';
export type { Logger } from '../system/log/logger.ts';
export { ConsumerClient } from './client.ts';
export type {
  ChunkFailedEvent,
  ConnectedEvent,
  ConsumerEvents,
  DisconnectedEvent,
} from './events.ts';
export { ChunkNotCompletedError } from './manual-chunks.ts';
export { CallbackTimeoutError } from './run/callback-watch.ts';
export { ChunkDroppedError, type ChunkDropReason } from './run/job.ts';
export type {
  ChunkCallback,
  ChunkCallbackOf,
  ChunkContext,
  ChunkReference,
  ChunkRunOptions,
  CompleteOptions,
  ConnectOptions,
  ConsumerClientOptions,
  ConsumerStats,
  FailOptions,
  OpCallback,
  OpCallbackOf,
  OpContext,
  OpRunOptions,
  RawChunkCallback,
  RawReservedChunk,
  RawReserveOptions,
  ReservedChunk,
  ReserveOptions,
  RunOptions,
  StopOptions,
} from './types.ts';
