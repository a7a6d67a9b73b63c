/** A thread of a pool: runs the default export of the user's module. */
import { threadId } from 'node:worker_threads';
import { workerData } from 'piscina';
import { defineContract, isContract } from '../../contract/contract.ts';
import { mustBe } from '../../model/check.ts';
import { bounded, messageOf, traceOf } from '../../model/thrown.ts';
import { setNetworkDefaults } from '../../system/process/network-defaults.ts';
import { systemClock } from '../../system/time/clock.ts';
import { formatOf } from '../content/format.ts';
import { CallbackWatch } from '../run/callback-watch.ts';
import { ChunkDroppedError, type ChunkDropReason } from '../run/job.ts';
import { OpLanes } from '../run/op-batch.ts';
import { chunkProcessor, opProcessor, type Processor, rawProcessor } from '../run/processor.ts';
import { verdictOf } from '../run/verdict.ts';
import type { ChunkContext } from '../types.ts';
import type { PoolAnswer, PoolRecorded, PoolSetup, PoolTask, PoolThreadData } from './protocol.ts';

const { setup, network }: PoolThreadData = workerData;
// Before the module: it may make connections as it loads.
setNetworkDefaults(network);
let loading: Promise<Processor> | null = null;
/** What of a chunk was recorded, by its context. */
const recordedBy = new WeakMap<ChunkContext, PoolRecorded>();
/** Of the chunks that this thread works on. */
const pulses = new Set<Int32Array>();

function beat(): void {
  for (const pulse of pulses) Atomics.add(pulse, 0, 1);
}

let isBeating = false;

/** While operations run side by side, one that never ends holds up no others: the thread is not stuck. */
function beatWhileBusy(): void {
  isBeating = pulses.size > 0 && setup.opConcurrency !== null;
  if (!isBeating) return;
  beat();
  systemClock.after(setup.callbackMsMax / 4, beatWhileBusy, { unref: true });
}

/** null only tries whether the module can be loaded. */
export default async function run(task: PoolTask | null): Promise<PoolAnswer> {
  try {
    loading ??= load(setup);
    const processor = await loading;
    if (task === null) return { output: new Uint8Array(), recorded: null };
    return await process(processor, task);
  } catch (error) {
    return {
      failure: { message: bounded(messageOf(error)), stack: traceOf(error), verdict: verdictOf(error) },
    };
  }
}

async function process(processor: Processor, task: PoolTask): Promise<PoolAnswer> {
  const { input, submission, submissionId, chunkIndex, retries, port, pulse } = task;
  const controller = new AbortController();
  port.on('message', (reason: ChunkDropReason) => controller.abort(new ChunkDroppedError(reason)));
  port.unref();
  const context: ChunkContext = { submission, submissionId, chunkIndex, retries, signal: controller.signal };
  Atomics.store(pulse, 1, threadId);
  Atomics.add(pulse, 0, 1);
  pulses.add(pulse);
  if (!isBeating) beatWhileBusy();
  try {
    const output = await processor(input, context);
    return { output, recorded: recordedBy.get(context) ?? null };
  } finally {
    pulses.delete(pulse);
    port.close();
  }
}

async function load({
  moduleUrl,
  shape,
  codec,
  needsContract,
  isRecording,
  opConcurrency,
  callbackMsMax,
}: PoolSetup): Promise<Processor> {
  const module: { readonly default?: unknown; readonly contract?: unknown } = await import(moduleUrl);
  const callback = module.default;
  if (!isFunction(callback)) {
    throw mustBe(`the default export of the callback's module ${moduleUrl}`, 'a function', callback);
  }
  const { contract } = module;
  if (needsContract && !isContract(contract)) {
    throw mustBe(
      `the export \`contract\` of the callback's module ${moduleUrl}`,
      "the client's contract: its schemas, or its codec, cannot be given to other threads",
      contract,
    );
  }
  const format = formatOf(
    needsContract && isContract(contract) ? contract : defineContract({ codec: codec ?? 'cbor' }),
  );
  // A chunk that has the thread to itself is watched from outside, where a thread that is stuck can be ended.
  const limitMs = opConcurrency === null ? Number.POSITIVE_INFINITY : callbackMsMax;
  const watch = new CallbackWatch(systemClock, limitMs, beat);
  switch (shape) {
    case 'op': {
      const lanes = opConcurrency === null ? null : new OpLanes(opConcurrency);
      return opProcessor({ callback, isRecording, watch, lanes }, format, (context, operations, error) =>
        recordedBy.set(context, { operations, error }),
      );
    }
    case 'chunk':
      return chunkProcessor(callback, format, watch);
    case 'raw':
      return rawProcessor(callback, watch);
    default:
      return shape satisfies never;
  }
}

/** What a module exports has no type that could be checked; the results are. */
function isFunction(value: unknown): value is (...args: unknown[]) => never {
  return typeof value === 'function';
}
