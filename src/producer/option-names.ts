import type { OptionNames } from '../model/option-names.ts';
import { QUEUE_TLS_OPTION_NAMES } from '../net/address/queue-tls.ts';
import type {
  CallOptions,
  ChangeOptions,
  ChunksOptions,
  CountOptions,
  DoneOptions,
  EndedSubmissionsOptions,
  ManyOptions,
  PauseOptions,
  ProducerClientOptions,
  ResultsOptions,
  ResumeOptions,
  RunSubmissionOptions,
  SubmitOptions,
  TransferOptions,
  WorkChanges,
  WorkFilter,
} from './options.ts';

// The options that each call takes. The types see to it that none is missing here.

export const CLIENT: OptionNames<ProducerClientOptions> = {
  ...QUEUE_TLS_OPTION_NAMES,
  objectStoreOptions: true,
  codec: true,
  transfersMax: true,
  memoryBytesMax: true,
  requestTimeoutMs: true,
  transferMsMax: true,
  retryForMs: true,
  logger: true,
};

export const CALL: OptionNames<CallOptions> = { signal: true };
export const ENDED: OptionNames<EndedSubmissionsOptions> = { ...CALL, limit: true };
export const COUNT: OptionNames<CountOptions> = { ...CALL, state: true };
export const DONE: OptionNames<DoneOptions> = { ...CALL, onProgress: true };

export const CHANGE: OptionNames<ChangeOptions> = { ...CALL, reason: true, by: true };
export const PAUSE: OptionNames<PauseOptions> = { ...CHANGE, cause: true };
export const RESUME: OptionNames<ResumeOptions> = { ...CHANGE, cause: true };
const MANY: OptionNames<ManyOptions> = { dryRun: true, expected: true };
export const PAUSE_MANY: OptionNames<PauseOptions & ManyOptions> = { ...PAUSE, ...MANY };
export const RESUME_MANY: OptionNames<ResumeOptions & ManyOptions> = { ...RESUME, ...MANY };
export const CHANGE_MANY: OptionNames<ChangeOptions & ManyOptions> = { ...CHANGE, ...MANY };
export const FILTER: OptionNames<WorkFilter> = { metadata: true, state: true, failure: true, queue: true };
export const CHANGES: OptionNames<WorkChanges> = {
  strategicMetadata: true,
  deadline: true,
  startAfter: true,
};

const TRANSFER: OptionNames<TransferOptions> = { ...CALL, transfersMax: true, memoryBytesMax: true };
export const SUBMIT: OptionNames<SubmitOptions> = {
  ...TRANSFER,
  name: true,
  chunkSize: true,
  in: true,
  metadata: true,
  strategicMetadata: true,
  retry: true,
  retryDelayMs: true,
  failureMode: true,
  deadline: true,
  startAfter: true,
  compression: true,
};
export const RESULTS: OptionNames<ResultsOptions> = {
  ...TRANSFER,
  ...DONE,
  onFailedChunk: true,
  when: true,
  cleanup: true,
};
export const CHUNKS: OptionNames<ChunksOptions> = { ...TRANSFER, ...DONE, onFailedChunk: true, until: true };
export const RUN: OptionNames<RunSubmissionOptions> = { ...SUBMIT, ...RESULTS };
