import { availableParallelism } from 'node:os';
import { IncorrectUsageError } from '../model/errors.ts';
import { isAbortSignal } from '../model/kinds.ts';
import { type OptionNames, refuseUnknownOptions } from '../model/option-names.ts';
import { show } from '../model/show.ts';
import { Strategy } from '../model/strategy.ts';
import type { ObjectStoreOptions } from '../objects/object-store.ts';
import { parseObjectStoreUrl, refuseMisspeltOptions } from '../objects/open.ts';
import { chunkCodecOf } from '../protocol/chunk/codec.ts';
import { type NamedCodec, namedCodecOf } from '../protocol/chunk/codec-options.ts';
import type { RunDemand, TransferLimits } from './messages.ts';
import { copyingCodec } from './processor.ts';
import type { ConsumerClientOptions, OperationCodec, RunOptions } from './types.ts';

/** Default of {@link RunOptions.memoryBytesMax}. */
const MEMORY_BYTES_MAX_DEFAULT = 128 * 1024 * 1024;
/** Default of `transfersMax`. */
const TRANSFERS_MAX_DEFAULT = 16;
/** Default of `transferMsMax`: far beyond the time-outs of the object stores themselves. */
const TRANSFER_MS_MAX_DEFAULT = 600_000;
/** A day: no limit that healthy work meets. */
const CALLBACK_MS_MAX_DEFAULT = 86_400_000;
const CONCURRENCY_MAX = 10_000;
/** Far more than any queue takes: one that contains itself must end somewhere. */
const STRATEGY_NESTS_MAX = 1_000;

/** The options of a call: an object with known names, and a signal that is one. */
export function checkOptions<T extends object>(options: T, names: OptionNames<T>): void {
  if (!isObject(options)) {
    throw new IncorrectUsageError(`the options must be an object: it is ${show(options)}`);
  }
  refuseUnknownOptions(options, names);
  const { signal }: { readonly signal?: unknown } = options;
  if (signal !== undefined && !isAbortSignal(signal)) {
    throw new IncorrectUsageError(`signal must be an AbortSignal: it is ${show(signal)}`);
  }
}

/** An integer option within its range. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new IncorrectUsageError(`${name} must be an integer from ${min} to ${max}: it is ${show(value)}`);
}

export function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean')
    throw new IncorrectUsageError(`${name} must be a boolean: it is ${show(value)}`);
}

/** A callback on this thread. */
export function checkCallback(callback: unknown, { threads }: RunOptions): void {
  if (typeof callback !== 'function')
    throw new IncorrectUsageError(`the callback must be a function: it is ${show(callback)}`);
  if (threads !== undefined)
    throw new IncorrectUsageError(
      'threads needs the URL of a module as the callback: a function runs on the thread that gave it',
    );
}

/** A strategy of plain data: it crosses threads. How deep it may nest is the queue's to say. */
export function checkStrategy(value: unknown): Strategy {
  if (value === undefined) return Strategy.random();
  const metaKeys: string[] = [];
  let inner: unknown = value;
  while (isObject(inner) && inner.kind === 'prefer_distinct' && metaKeys.length < STRATEGY_NESTS_MAX) {
    const { metaKey } = inner;
    if (typeof metaKey !== 'string' || !metaKey.isWellFormed()) {
      throw new IncorrectUsageError(`metaKey of a strategy must be a text: it is ${show(metaKey)}`);
    }
    metaKeys.push(metaKey);
    inner = inner.underlying;
  }
  return metaKeys.reduceRight(
    (underlying, key) => Strategy.preferDistinct(key, underlying),
    plainStrategy(inner),
  );
}

function plainStrategy(value: unknown): Strategy {
  const kind = isObject(value) ? value.kind : undefined;
  if (kind === 'oldest' || kind === 'newest' || kind === 'random') return Strategy[kind]();
  throw new IncorrectUsageError(
    `strategy must be one of Strategy's: it is ${kind === undefined ? show(value) : `of the kind ${show(kind)}`}`,
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

export function checkCodec(value: unknown): OperationCodec {
  const named = namedCodecOf(value ?? 'cbor');
  if (named !== null) return chunkCodecOf(named);
  if (isCodec(value)) return copyingCodec(value);
  throw new IncorrectUsageError(
    `codec must be 'cbor', 'json', one of these with options ({ name, maps, dates, integers }) or an object with encode and decode: it is ${show(value)}`,
  );
}

/** A codec's object cannot be given to another thread. */
export function checkCodecName(value: unknown): 'cbor' | 'json' | NamedCodec {
  const named = namedCodecOf(value ?? 'cbor');
  if (named !== null) return named;
  throw new IncorrectUsageError(
    `codec must be 'cbor' or 'json' where the callback is a module: it is ${show(value)}; let the module work on raw chunks instead`,
  );
}

export function checkModuleUrl(module: URL | string): string {
  try {
    return new URL(module).href;
  } catch (cause) {
    throw new IncorrectUsageError(
      `the callback's module must be a URL, such as new URL('./work.js', import.meta.url): it is ${show(module)}`,
      { cause },
    );
  }
}

export function checkOnOpError(value: unknown): 'fail-chunk' | 'record' {
  if (value === undefined) return 'fail-chunk';
  if (value === 'fail-chunk' || value === 'record') return value;
  throw new IncorrectUsageError(`onOpError must be 'fail-chunk' or 'record': it is ${show(value)}`);
}

export function checkThreads(value: unknown): number {
  return value === undefined ? availableParallelism() : checkInteger('threads', value, 1, 1_000);
}

export function checkTransferLimits({ transfersMax, transferMsMax }: ConsumerClientOptions): TransferLimits {
  return {
    transfersMax: checkInteger('transfersMax', transfersMax ?? TRANSFERS_MAX_DEFAULT, 1, 10_000),
    transferMsMax: checkInteger('transferMsMax', transferMsMax ?? TRANSFER_MS_MAX_DEFAULT, 1, 2 ** 31 - 1),
  };
}

/** What is to be an object store: its URL or one of the user's. */
export function checkObjectStore(value: unknown): void {
  if (typeof value === 'string') return void parseObjectStoreUrl(value);
  if (isObject(value) && typeof value.get === 'function' && typeof value.put === 'function') return;
  throw new IncorrectUsageError(`the object store must be a URL or an ObjectStore: it is ${show(value)}`);
}

/** Plain data: it crosses threads. */
export function checkObjectStoreOptions(value: unknown): ObjectStoreOptions {
  if (!isObject(value)) {
    throw new IncorrectUsageError(`objectStoreOptions must be an object: it is ${show(value)}`);
  }
  refuseMisspeltOptions(value);
  const options: Record<string, string | number | boolean> = {};
  for (const [name, option] of Object.entries(value)) {
    if (option === undefined) continue;
    if (typeof option !== 'string' && typeof option !== 'number' && typeof option !== 'boolean') {
      throw new IncorrectUsageError(
        `the object store's option ${name} must be a text, a number or a boolean: it is ${show(option)}`,
      );
    }
    options[name] = option;
  }
  return options;
}

/** The demand of a run. */
export function checkDemand(options: RunOptions, concurrencyDefault: number): RunDemand {
  const { concurrency, prefetch, memoryBytesMax, compression, callbackMsMax } = options;
  if (compression !== undefined && compression !== 'zstd') {
    throw new IncorrectUsageError(`compression must be 'zstd': it is ${show(compression)}`);
  }
  return {
    strategy: checkStrategy(options.strategy),
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
  };
}

function isCodec(value: unknown): value is OperationCodec {
  return (
    typeof value === 'object' &&
    value !== null &&
    'encode' in value &&
    typeof value.encode === 'function' &&
    'decode' in value &&
    typeof value.decode === 'function'
  );
}
