import { availableParallelism } from 'node:os';
import { IncorrectUsageError } from '../model/errors.ts';
import { Strategy } from '../model/strategy.ts';
import { cborChunkCodec, jsonChunkCodec } from '../protocol/chunk-codec.ts';
import type { RunDemand } from './messages.ts';
import { copyingCodec } from './processor.ts';
import type { OperationCodec, RunOptions } from './types.ts';

/** Default of {@link RunOptions.memoryBytesMax}. */
const MEMORY_BYTES_MAX_DEFAULT = 128 * 1024 * 1024;
/** Default of `transfersMax`. */
export const TRANSFERS_MAX_DEFAULT = 16;
const CONCURRENCY_MAX = 10_000;

/** An integer option within its range. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new IncorrectUsageError(`${name} must be an integer from ${min} to ${max}: it is ${show(value)}`);
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function')
    throw new IncorrectUsageError(`${name} must be a function: it is ${show(value)}`);
}

export function checkStrategy(value: unknown): Strategy {
  if (value === undefined) return Strategy.random();
  if (typeof value === 'object' && value !== null && 'kind' in value) return value as Strategy;
  throw new IncorrectUsageError(`strategy must be one of Strategy's: it is ${show(value)}`);
}

export function checkCodec(value: unknown): OperationCodec {
  if (value === undefined || value === 'cbor') return cborChunkCodec();
  if (value === 'json') return jsonChunkCodec();
  if (isCodec(value)) return copyingCodec(value);
  throw new IncorrectUsageError(
    `codec must be 'cbor', 'json' or an object with encode and decode: it is ${show(value)}`,
  );
}

/** A codec's object cannot be given to another thread. */
export function checkCodecName(value: unknown): 'cbor' | 'json' {
  if (value === undefined || value === 'cbor') return 'cbor';
  if (value === 'json') return 'json';
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

/** The demand of a run. */
export function checkDemand(options: RunOptions, concurrencyDefault: number): RunDemand {
  const { concurrency, prefetch, memoryBytesMax, compression } = options;
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

export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 200));
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'an object';
  return String(value);
}
