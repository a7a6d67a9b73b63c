import type { OptionNames } from '../model/option-names.ts';
import { QUEUE_TLS_OPTION_NAMES } from '../net/address/queue-tls.ts';
import type {
  CallOptions,
  DecodeOptions,
  DirectChunksOptions,
  DirectOptions,
  InsertChunksOptions,
  InsertOptions,
  ProducerClientOptions,
  RunChunksOptions,
  RunDirectOptions,
  RunOptions,
  SubmissionOptions,
  TransferOptions,
  WatchOptions,
} from './options.ts';

// The options that each call takes. The types see to it that none is missing here.

export const CLIENT: OptionNames<ProducerClientOptions> = {
  ...QUEUE_TLS_OPTION_NAMES,
  objectStoreOptions: true,
  codec: true,
  concurrency: true,
  memoryBytesMax: true,
  requestTimeoutMs: true,
  transferMsMax: true,
  retryForMs: true,
  logger: true,
  clock: true,
  random: true,
};

export const CALL: OptionNames<CallOptions> = { signal: true };
export const LOOKUP: OptionNames<CallOptions & { readonly limit?: number | undefined }> = {
  ...CALL,
  limit: true,
};
export const WAIT: OptionNames<CallOptions & WatchOptions> = { ...CALL, onProgress: true };
export const TRANSFER: OptionNames<TransferOptions> = { ...CALL, concurrency: true, memoryBytesMax: true };
export const DECODE: OptionNames<DecodeOptions> = { ...TRANSFER, codec: true };
export const STREAM: OptionNames<DecodeOptions & WatchOptions> = { ...DECODE, ...WAIT };
export const STREAM_CHUNKS: OptionNames<TransferOptions & WatchOptions> = { ...TRANSFER, ...WAIT };

const SUBMISSION: OptionNames<SubmissionOptions> = {
  ...CALL,
  metadata: true,
  strategicMetadata: true,
  retry: true,
  retryDelayMs: true,
  onInserted: true,
};
export const DIRECT: OptionNames<DirectOptions> = { ...SUBMISSION, chunkSize: true, codec: true };
export const DIRECT_CHUNKS: OptionNames<DirectChunksOptions> = { ...SUBMISSION, chunkSize: true };
export const INSERT: OptionNames<InsertOptions> = { ...DIRECT, ...TRANSFER, compression: true };
export const INSERT_CHUNKS: OptionNames<InsertChunksOptions> = {
  ...DIRECT_CHUNKS,
  ...TRANSFER,
  compression: true,
};
export const RUN: OptionNames<RunOptions> = { ...INSERT, ...WAIT, results: true, cleanup: true };
export const RUN_CHUNKS: OptionNames<RunChunksOptions> = {
  ...INSERT_CHUNKS,
  ...WAIT,
  results: true,
  cleanup: true,
};
export const RUN_DIRECT: OptionNames<RunDirectOptions> = { ...DIRECT, ...TRANSFER, ...WAIT, results: true };
