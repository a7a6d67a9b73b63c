/** The public API of `opsqueue/store`: the stores there are, and what a further one is made of. */

import '../system/entry/node-version.ts';

export { ChunkSet, PAGE_BYTES, PAGE_CHUNKS, type PageContent } from '../model/chunk-set.ts';
export {
  type Act,
  type Control,
  NO_CONTROL,
  type PausedBy,
  type Scope,
  type ScopeControl,
  type Verb,
} from '../model/control.ts';
export { IncorrectUsageError, OpsqueueError } from '../model/errors.ts';
export {
  type ChunkId,
  type ChunkIndex,
  type ShardId,
  type SubmissionId,
  submissionIdShard,
} from '../model/ids.ts';
export { ANSWER_BYTES_MAX } from '../model/limits.ts';
export type { RetryPolicy } from '../model/retry.ts';
export type {
  ChunkTries,
  EndState,
  EndWithFailures,
  FailedChunk,
  FailureMode,
  StrategicMetadata,
  SubmissionEnd,
  SubmissionRecord,
} from '../model/submission.ts';
export type { Logger } from '../system/log/logger.ts';
export type { Clock, Timer } from '../system/time/clock.ts';
export {
  type BatchFacts,
  type BatchStep,
  type Committed,
  failedCommit,
  type InsertMutation,
  insertResults,
  planBatch,
  type ShardState,
} from './batch-plan.ts';
export { PageChecksum } from './codec/page-checksum.ts';
export { allChunks, chunksDoneIn, countChunks, setStoredPage } from './codec/progress.ts';
export {
  formatControl,
  formatRetry,
  formatScopeControl,
  formatStrategicMetadata,
  parseControl,
  parseRetry,
  parseScopeControl,
  parseStrategicMetadata,
} from './codec/values.ts';
export { StoreError, type StoreErrorClass } from './errors.ts';
export type {
  LeaseClaim,
  LeaseHolder,
  LeaseName,
  LeaseSight,
  NodePresent,
  ShardGrant,
  StoreLeases,
} from './lease.ts';
export { type MoveOptions, type MoveProgress, type MoveReport, moveStore } from './move/move.ts';
export { openStore, type StoreContext } from './open.ts';
export type {
  CommitBatch,
  CommitResult,
  DueSubmission,
  EndedPage,
  FailedChunksPage,
  InsertResult,
  LoadedSubmission,
  Mutation,
  SetAsideChunk,
  Store,
  StoredSubmission,
  StoreMaintenance,
} from './store.ts';
