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
export type { Act, PausedBy, Verb } from '../model/control.ts';
export {
  ChangeRefusedError,
  ChunkContentError,
  ChunksFailedError,
  ClientClosedError,
  type ContractIssue,
  ContractViolationError,
  CountChangedError,
  DeadlinePassedError,
  IncorrectUsageError,
  NotAQueueError,
  NothingMatchesError,
  OpsqueueError,
  ProtocolError,
  QueueRefusedError,
  QueueUnreachableError,
  QueueUnsupportedError,
  SourceChangedError,
  SubmissionCancelledError,
  SubmissionConflictError,
  SubmissionEndedError,
  SubmissionFailedError,
  SubmissionForgottenError,
  SubmissionNotCancellableError,
  SubmissionNotFoundError,
  TooManyMatchingSubmissionsError,
} from '../model/errors.ts';
export { OpError } from '../model/op-error.ts';
export type { QueueInfo, QueuePause, QueuesInUse } from '../model/queue-info.ts';
export type {
  CancelledSubmissionDetails,
  EndedSubmissionDetails,
  EndState,
  FailedChunk,
  FailedSubmissionDetails,
  FailureMode,
  IncompleteSubmissionDetails,
  SubmissionChanges,
  SubmissionDetails,
  SubmissionInfo,
} from '../model/submission.ts';
export type { Hold } from '../model/verbs.ts';
export type { QueueTlsOptions } from '../net/address/queue-tls.ts';
export { ObjectStoreError, type ObjectStoreErrorCode } from '../objects/errors.ts';
export type { GarbageFolder, GarbageReport } from '../objects/garbage.ts';
export type {
  ObjectCallOptions,
  ObjectInfo,
  ObjectStore,
  ObjectStoreOptions,
} from '../objects/object-store.ts';
export { CborTag } from '../protocol/chunk/cbor-value.ts';
export type { NamedCodec, OperationCodec } from '../protocol/chunk/codec-options.ts';
export type { ChunkCompression } from '../protocol/chunk/compression.ts';
export { ChunkUndecodableError, ChunkUnencodableError } from '../protocol/chunk/errors.ts';
export type { Logger } from '../system/log/logger.ts';
export { ProducerClient } from './client.ts';
export { collectGarbage, type GarbageCollectionOptions } from './garbage.ts';
export type {
  CallOptions,
  ChangeOptions,
  ChangeReport,
  ChunksOptions,
  CollectingOptions,
  CountOptions,
  DoneOptions,
  EndedSubmissionsOptions,
  FailedChunkOptions,
  ManyOptions,
  PauseOptions,
  ProducerClientOptions,
  Progress,
  ResultChunk,
  ResultsOptions,
  ResumeOptions,
  RetryOptions,
  RunSubmissionOptions,
  SubmitOptions,
  TransferOptions,
  WatchOptions,
  WorkChanges,
  WorkFilter,
  WorkTarget,
} from './options.ts';
export type { ItemIterator, Results } from './results/results.ts';
export type { Submission } from './submission.ts';
export type { Source } from './submit/source.ts';
