import type { OptionNames } from '../model/option-names.ts';
import { QUEUE_TLS_OPTION_NAMES } from '../net/address/queue-tls.ts';
import type {
  ChunkRunOptions,
  CompleteOptions,
  ConnectOptions,
  ConsumerClientOptions,
  FailOptions,
  OpRunOptions,
  ReserveOptions,
  RunOptions,
  StopOptions,
} from './types.ts';

// The options that each call takes. The types see to it that none is missing here.

export const CONSUMER_CLIENT: OptionNames<ConsumerClientOptions> = {
  ...QUEUE_TLS_OPTION_NAMES,
  objectStoreOptions: true,
  codec: true,
  logger: true,
  frameBytesMax: true,
  transfersMax: true,
  transferMsMax: true,
};

export const CONSUMER_RUN: OptionNames<RunOptions> = {
  strategy: true,
  concurrency: true,
  prefetch: true,
  memoryBytesMax: true,
  compression: true,
  callbackMsMax: true,
  untilIdleMs: true,
  signal: true,
  threads: true,
};
export const RUN_CHUNKS: OptionNames<ChunkRunOptions> = { ...CONSUMER_RUN, codec: true };
export const RUN_OPS: OptionNames<OpRunOptions> = { ...RUN_CHUNKS, opConcurrency: true, onOpError: true };

export const CONNECT: OptionNames<ConnectOptions> = { signal: true };
export const RESERVE: OptionNames<ReserveOptions> = {
  max: true,
  strategy: true,
  codec: true,
  raw: true,
  signal: true,
};
export const COMPLETE: OptionNames<CompleteOptions> = { codec: true };
export const FAIL: OptionNames<FailOptions> = { retryable: true, delayMs: true };
export const STOP: OptionNames<StopOptions> = { graceMs: true };
