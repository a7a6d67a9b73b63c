import { mustBe } from '../../model/check.ts';
import { IncorrectUsageError } from '../../model/errors.ts';
import { isUrl } from '../../model/kinds.ts';
import { checkCallOptions } from '../../model/option-names.ts';
import { threadCodecOf } from '../content/codec.ts';
import { formatFor } from '../content/format.ts';
import * as names from '../option-names.ts';
import {
  checkCallback,
  checkDemand,
  checkModuleUrl,
  checkOnOpError,
  checkOpConcurrency,
  checkThreads,
  checkUntilIdle,
} from '../options.ts';
import type { ConsumerParts } from '../parts.ts';
import type { PoolSetup } from '../pool/protocol.ts';
import type {
  ChunkCallback,
  ChunkRunOptions,
  OpCallback,
  OpRunOptions,
  RawChunkCallback,
  RunOptions,
} from '../types.ts';
import { OpLanes } from './op-batch.ts';
import { chunkProcessor, opProcessor, rawProcessor } from './processor.ts';
import type { RunCall, Runs } from './runs.ts';

/** Checks what a `runEach...` was called with, and starts it. */
export class Calls {
  readonly #parts: ConsumerParts;
  readonly #runs: Runs;

  constructor(parts: ConsumerParts, runs: Runs) {
    this.#parts = parts;
    this.#runs = runs;
  }

  async eachOp(callback: OpCallback | URL | string, options: OpRunOptions): Promise<void> {
    checkCallOptions(options, names.RUN_OPS);
    const isRecording = checkOnOpError(options.onOpError) === 'record';
    if (isModule(callback)) return this.#module('op', callback, options, isRecording);
    checkCallback(callback, options);
    const format = formatFor(this.#parts, options.codec);
    const opConcurrency = checkOpConcurrency(options.opConcurrency);
    const lanes = opConcurrency === null ? null : new OpLanes(opConcurrency);
    return this.#runs.run(callOf(options, 0, opConcurrency), (watch, recorded) =>
      opProcessor({ callback, isRecording, watch, lanes }, format, recorded),
    );
  }

  async eachChunk(callback: ChunkCallback | URL | string, options: ChunkRunOptions): Promise<void> {
    refuseOfOperations(options);
    checkCallOptions(options, names.RUN_CHUNKS);
    if (isModule(callback)) return this.#module('chunk', callback, options, false);
    checkCallback(callback, options);
    const format = formatFor(this.#parts, options.codec);
    return this.#runs.run(callOf(options, 0, null), (watch) => chunkProcessor(callback, format, watch));
  }

  async eachChunkRaw(callback: RawChunkCallback | URL | string, options: RunOptions): Promise<void> {
    checkCallOptions(options, names.CONSUMER_RUN);
    if (isModule(callback)) return this.#module('raw', callback, options, false);
    checkCallback(callback, options);
    return this.#runs.run(callOf(options, 0, null), (watch) => rawProcessor(callback, watch));
  }

  #module(
    shape: PoolSetup['shape'],
    module: URL | string,
    options: OpRunOptions,
    isRecording: boolean,
  ): Promise<void> {
    const threads = checkThreads(options.threads, checkOpConcurrency(options.opConcurrency));
    const opConcurrency = checkOpConcurrency(options.opConcurrency, threads);
    const call = callOf(options, threads, opConcurrency);
    const { contract, isContractGiven } = this.#parts;
    formatFor(this.#parts, options.codec);
    const codec = threadCodecOf(options.codec ?? contract.codec);
    if (codec === null && !isContractGiven) {
      throw mustBe(
        'codec',
        "'cbor' or 'json' where the callback is a module (or let it work on raw chunks, or export a contract with the codec)",
        options.codec ?? contract.codec,
      );
    }
    const hasSchemas = contract.operation !== null || contract.result !== null;
    const setup = {
      moduleUrl: checkModuleUrl(module),
      shape,
      codec,
      needsContract: shape !== 'raw' && (codec === null || hasSchemas),
      isRecording,
      opConcurrency: opConcurrency === null ? null : Math.floor(opConcurrency / threads),
      callbackMsMax: call.demand.callbackMsMax,
    };
    return this.#runs.runModule(call, setup, threads);
  }
}

function callOf(options: RunOptions, threads: number, opConcurrency: number | null): RunCall {
  return {
    demand: checkDemand(options, threads, opConcurrency),
    untilIdleMs: checkUntilIdle(options.untilIdleMs),
    signal: options.signal,
  };
}

/** Options that have a meaning for single operations only, in words that say so. */
function refuseOfOperations({ onOpError, opConcurrency }: OpRunOptions): void {
  if (onOpError === undefined && opConcurrency === undefined) return;
  const name = opConcurrency === undefined ? 'onOpError' : 'opConcurrency';
  throw new IncorrectUsageError(
    `${name} needs runEachOp: in runEachChunk the callback looks after its operations`,
  );
}

function isModule(callback: unknown): callback is URL | string {
  return typeof callback === 'string' || isUrl(callback);
}
