import type { ContractCodec } from '../contract/contract.ts';
import { checkInteger, checkNumber, mustBe } from '../model/check.ts';
import { IncorrectUsageError } from '../model/errors.ts';
import { type SubmissionId, submissionIdOf } from '../model/ids.ts';
import { isMap, isUint8Array } from '../model/kinds.ts';
import { BODY_BYTES_MAX_DEFAULT, META_KEY_BYTES_MAX, PREFIX_PATTERN } from '../model/limits.ts';
import { checkCallOptions, type OptionNames, unknownOption } from '../model/option-names.ts';
import { RETRY_BOUNDS, RETRY_DEFAULT, type RetryPolicy } from '../model/retry.ts';
import { checkMetaValue } from '../model/strategy-shape.ts';
import { END_STATES, type EndState, type StrategicMetadata } from '../model/submission.ts';
import { chunkCodecOf } from '../protocol/chunk/codec.ts';
import { namedCodecOf, type OperationCodec } from '../protocol/chunk/codec-options.ts';
import { metaPairsRefusal } from '../protocol/consumer/strategy.ts';
import { byteArraySize } from '../protocol/json/writer.ts';
import type { SubmitOptions } from './options.ts';

/** The options of a call: an object with known names, and what many calls take is what it should be. */
export function checkOptions<T extends object>(options: T, names: OptionNames<T>): T {
  const { onProgress }: { readonly onProgress?: unknown } = checkCallOptions(options, names);
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw mustBe('onProgress', 'a function', onProgress);
  }
  return options;
}

/** An id as text, as it comes from a file with the end of a line after it, or as a bigint. */
export function checkId(value: unknown): SubmissionId {
  const id = submissionIdOf(value);
  if (id !== null) return id;
  throw mustBe('a submission id', 'a string of digits or a bigint, from 0 to 2^63 - 1', value);
}

export function checkEndState(value: unknown): EndState {
  const state = END_STATES.find((each) => each === value);
  if (state !== undefined) return state;
  throw mustBe('state', `one of ${END_STATES.join(', ')}`, value);
}

export function checkPrefix(value: unknown, what = 'a prefix'): string {
  if (typeof value === 'string' && PREFIX_PATTERN.test(value)) return value;
  throw mustBe(what, `a string that matches ${PREFIX_PATTERN.source}`, value);
}

export function checkStrategicMetadata(value: SubmitOptions['strategicMetadata']): StrategicMetadata {
  const pairs = new Map<string, bigint>();
  if (value === undefined) return pairs;
  if (!isMap(value) && !isPlainObject(value)) {
    throw mustBe('strategicMetadata', 'a Map or a plain object', value);
  }
  for (const [key, number] of isMap(value) ? value : Object.entries(value)) {
    if (typeof key !== 'string' || !key.isWellFormed() || Buffer.byteLength(key) > META_KEY_BYTES_MAX) {
      throw mustBe(
        'a key of strategicMetadata',
        `a Unicode text of at most ${META_KEY_BYTES_MAX} bytes`,
        key,
      );
    }
    pairs.set(key, checkMetaValue(`strategicMetadata.${key}`, number));
  }
  const refusal = metaPairsRefusal(pairs.size);
  if (refusal !== null) throw new IncorrectUsageError(`strategicMetadata: ${refusal}`);
  return pairs;
}

/** Arrays, Sets, Dates and the like have entries as well, but not pairs. */
function isPlainObject(value: unknown): boolean {
  return Object.prototype.toString.call(value) === '[object Object]';
}

export function checkMetadata(value: unknown): Uint8Array | null {
  if (value === undefined || value === null) return null;
  if (isUint8Array(value)) {
    const size = byteArraySize(value);
    // Sent when all is uploaded: until then the caller may reuse the buffer.
    if (size <= BODY_BYTES_MAX_DEFAULT) return new Uint8Array(value);
    throw new IncorrectUsageError(
      `metadata of ${value.length} bytes takes ${size} in a request, which is more than ${BODY_BYTES_MAX_DEFAULT}`,
    );
  }
  throw mustBe('metadata', 'a Uint8Array', value);
}

/** The policy, with its default for what is left out. */
export function checkRetry(value: unknown): RetryPolicy {
  if (value === null || !isPlainObject(value)) {
    throw mustBe('retry', 'an object', value);
  }
  const policy: { -readonly [Field in keyof RetryPolicy]: RetryPolicy[Field] } = { ...RETRY_DEFAULT };
  for (const [name, given] of Object.entries(value as object)) {
    if (!isRetryField(name)) {
      throw new IncorrectUsageError(`retry: ${unknownOption(name, Object.keys(RETRY_BOUNDS))}`);
    }
    if (given === undefined || (name === 'triesMax' && given === null)) continue;
    const [min, max] = RETRY_BOUNDS[name];
    const check = name === 'triesMax' ? checkInteger : checkNumber;
    policy[name] = check(`retry.${name}`, given, min, max);
  }
  return policy;
}

function isRetryField(name: string): name is keyof RetryPolicy {
  return Object.hasOwn(RETRY_BOUNDS, name);
}

/** The bytes of one chunk; `what` is where they come from. */
export function checkContent(what: string, value: unknown): Uint8Array {
  if (isUint8Array(value)) return value;
  throw mustBe(what, 'a Uint8Array', value);
}

/** The codec of a client. */
export interface ClientCodec extends OperationCodec {
  /** Nobody writes into what `encode` has returned; a user's codec may use the same buffer for every chunk. */
  readonly isBuiltIn: boolean;
  /** Each operation is a chunk of bytes, and so is each result. */
  readonly isRaw: boolean;
}

/** A codec that `defineContract` has checked. */
export function clientCodec(codec: ContractCodec): ClientCodec {
  if (codec === 'raw') {
    const encode = (): never => {
      throw new Error('raw chunks are not encoded');
    };
    return { encode, decode: (content) => [content], isBuiltIn: false, isRaw: true };
  }
  const named = namedCodecOf(codec);
  if (named !== null) return { ...chunkCodecOf(named), isBuiltIn: true, isRaw: false };
  const own = codec as OperationCodec;
  return {
    encode: (operations) => own.encode(operations),
    decode: (content) => own.decode(content),
    isBuiltIn: false,
    isRaw: false,
  };
}

export function checkSource(value: unknown): void {
  // The characters of a text are hardly meant to be operations.
  if (Object(value) === value) {
    const source = Object(value);
    const iterator: unknown = source[Symbol.iterator in source ? Symbol.iterator : Symbol.asyncIterator];
    if (typeof iterator === 'function') return;
  }
  throw mustBe('the source', 'an iterable or an async iterable other than a string', value);
}
