import { availableParallelism } from 'node:os';
import { checkInteger, isObject, mustBe } from '../model/check.ts';
import { IncorrectUsageError } from '../model/errors.ts';
import { Strategy } from '../model/strategy.ts';
import { checkStrategy } from '../model/strategy-shape.ts';
import type { ObjectStoreOptions } from '../objects/object-store.ts';
import { parseObjectStoreUrl, refuseMisspeltOptions } from '../objects/open.ts';
import type { RunDemand, TransferLimits } from './thread/protocol.ts';
import type { ConsumerClientOptions, RunOptions } from './types.ts';

/** Default of {@link RunOptions.memoryBytesMax}. */
const MEMORY_BYTES_MAX_DEFAULT = 128 * 1024 * 1024;
/** Default of `transfersMax`. */
const TRANSFERS_MAX_DEFAULT = 16;
/** Default of `transferMsMax`: far beyond the time-outs of the object stores themselves. */
const TRANSFER_MS_MAX_DEFAULT = 600_000;
/** A day: no limit that healthy work meets. */
const CALLBACK_MS_MAX_DEFAULT = 86_400_000;
const CONCURRENCY_MAX = 10_000;

/** A callback on this thread. */
export function checkCallback(callback: unknown, { threads }: RunOptions): void {
  if (typeof callback !== 'function') throw mustBe('the callback', 'a function', callback);
  if (threads !== undefined)
    throw new IncorrectUsageError(
      'threads needs the URL of a module as the callback: a function runs on the thread that gave it',
    );
}

/** A strategy of plain data: it crosses threads. */
export function strategyOf(value: unknown): Strategy {
  return value === undefined ? Strategy.random() : checkStrategy(value);
}

export function checkModuleUrl(module: URL | string): string {
  try {
    return new URL(module).href;
  } catch (cause) {
    throw mustBe("the callback's module", "a URL, such as new URL('./work.js', import.meta.url)", module, {
      cause,
    });
  }
}

export function checkOnOpError(value: unknown): 'fail-chunk' | 'record' {
  if (value === undefined) return 'fail-chunk';
  if (value === 'fail-chunk' || value === 'record') return value;
  throw mustBe('onOpError', "'fail-chunk' or 'record'", value);
}

/** By default as many as there are processors, but no more than operations at once (null: that is not limited). */
export function checkThreads(value: unknown, opConcurrency: number | null): number {
  if (value !== undefined) return checkInteger('threads', value, 1, 1_000);
  return Math.min(availableParallelism(), opConcurrency ?? Number.POSITIVE_INFINITY);
}

export function checkTransferLimits({ transfersMax, transferMsMax }: ConsumerClientOptions): TransferLimits {
  return {
    transfersMax: checkInteger('transfersMax', transfersMax ?? TRANSFERS_MAX_DEFAULT, 1, 10_000),
    transferMsMax: checkInteger('transferMsMax', transferMsMax ?? TRANSFER_MS_MAX_DEFAULT, 1, 2 ** 31 - 1),
  };
}

/** What is to be an object store: its URL or one of the user's. */
export function checkObjectStore(value: unknown): void {
  if (value === null) return;
  if (typeof value === 'string') return void parseObjectStoreUrl(value);
  if (isObject(value) && typeof value.get === 'function' && typeof value.put === 'function') return;
  throw mustBe('the object store', 'a URL, an ObjectStore or null', value);
}

/** Plain data: it crosses threads. */
export function checkObjectStoreOptions(value: unknown): ObjectStoreOptions {
  if (!isObject(value)) {
    throw mustBe('objectStoreOptions', 'an object', value);
  }
  refuseMisspeltOptions(value);
  const options: Record<string, string | number | boolean> = {};
  for (const [name, option] of Object.entries(value)) {
    if (option === undefined) continue;
    if (typeof option !== 'string' && typeof option !== 'number' && typeof option !== 'boolean') {
      throw mustBe(`the object store's option ${name}`, 'a string, a number or a boolean', option);
    }
    options[name] = option;
  }
  return options;
}

/** null: it does not end when it is idle. */
export function checkUntilIdle(value: unknown): number | null {
  return value === undefined ? null : checkInteger('untilIdleMs', value, 1, 2 ** 31 - 1);
}

/** Operations at once; null where they run one after the other. */
export function checkOpConcurrency(value: unknown, threads = 1): number | null {
  return value === undefined ? null : checkInteger('opConcurrency', value, threads, CONCURRENCY_MAX);
}

/** The demand of a run. `threads`: 0 where the callback runs on this thread. */
export function checkDemand(options: RunOptions, threads: number, opConcurrency: number | null): RunDemand {
  const { concurrency, prefetch, memoryBytesMax, compression, callbackMsMax } = options;
  const overlap = Math.max(threads, 1);
  const ops = opConcurrency === null ? null : { atOnce: opConcurrency, overlap };
  const concurrencyDefault = ops === null ? overlap : Math.min(ops.atOnce + overlap, CONCURRENCY_MAX);
  if (compression !== undefined && compression !== 'zstd') {
    throw mustBe('compression', "'zstd'", compression);
  }
  return {
    strategy: strategyOf(options.strategy),
    concurrency: checkInteger('concurrency', concurrency ?? concurrencyDefault, 1, CONCURRENCY_MAX),
    prefetch:
      prefetch === undefined || prefetch === 'auto'
        ? 'auto'
        : checkInteger('prefetch', prefetch, 0, CONCURRENCY_MAX),
    memoryBytesMax: checkInteger(
      'memoryBytesMax',
      memoryBytesMax ?? MEMORY_BYTES_MAX_DEFAULT,
      1,
      Number.MAX_SAFE_INTEGER,
    ),
    compression: compression ?? null,
    callbackMsMax:
      callbackMsMax === Number.POSITIVE_INFINITY
        ? callbackMsMax
        : checkInteger('callbackMsMax', callbackMsMax ?? CALLBACK_MS_MAX_DEFAULT, 1, 2 ** 31 - 1),
    ops,
  };
}
