/** A thread of a pool: runs the default export of the user's module. */
import { workerData } from 'piscina';
import { mustBe } from '../../model/check.ts';
import { bounded, messageOf, traceOf } from '../../model/thrown.ts';
import { checkCodec } from '../options.ts';
import { ChunkDroppedError, type ChunkDropReason } from '../run/job.ts';
import { chunkProcessor, opProcessor, type Processor, rawProcessor, verdictOf } from '../run/processor.ts';
import type { ChunkContext } from '../types.ts';
import type { PoolAnswer, PoolSetup, PoolTask } from './protocol.ts';

const setup: PoolSetup = workerData;
let loading: Promise<Processor> | null = null;

/** null only tries whether the module can be loaded. */
export default async function run(task: PoolTask | null): Promise<PoolAnswer> {
  try {
    loading ??= load(setup);
    const processor = await loading;
    if (task === null) return { output: new Uint8Array() };
    return { output: await process(processor, task) };
  } catch (error) {
    return {
      failure: { message: bounded(messageOf(error)), stack: traceOf(error), verdict: verdictOf(error) },
    };
  }
}

async function process(processor: Processor, task: PoolTask): Promise<Uint8Array> {
  const { input, submission, submissionId, chunkIndex, retries, port } = task;
  const controller = new AbortController();
  port.on('message', (reason: ChunkDropReason) => controller.abort(new ChunkDroppedError(reason)));
  port.unref();
  const context: ChunkContext = { submission, submissionId, chunkIndex, retries, signal: controller.signal };
  try {
    return await processor(input, context);
  } finally {
    port.close();
  }
}

async function load({ moduleUrl, shape, codec, onOpError }: PoolSetup): Promise<Processor> {
  const module: { readonly default?: unknown } = await import(moduleUrl);
  const callback = module.default;
  if (!isFunction(callback)) {
    throw mustBe(`the default export of the callback's module ${moduleUrl}`, 'a function', callback);
  }
  switch (shape) {
    case 'op':
      return opProcessor(callback, checkCodec(codec), onOpError);
    case 'chunk':
      return chunkProcessor(callback, checkCodec(codec));
    case 'raw':
      return rawProcessor(callback);
    default:
      return shape satisfies never;
  }
}

/** What a module exports has no type that could be checked; the results are. */
function isFunction(value: unknown): value is (...args: unknown[]) => never {
  return typeof value === 'function';
}
