import { isObject, mustBe } from '../model/check.ts';
import { IncorrectUsageError } from '../model/errors.ts';
import { refuseUnknownOptions } from '../model/option-names.ts';
import { urlText } from '../model/url-text.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { CODEC_KINDS, isCodec } from '../protocol/chunk/codec.ts';
import { type NamedCodec, namedCodecOf, type OperationCodec } from '../protocol/chunk/codec-options.ts';
import { isStandardSchema, type StandardSchema } from './standard-schema.ts';

/** How operations and results become the bytes of chunks. `'raw'`: each operation is the bytes of a chunk, as it is. */
export type ContractCodec = 'cbor' | 'json' | 'raw' | NamedCodec | OperationCodec;

/** What {@link defineContract} takes. */
export interface ContractOptions<Op, Result, OpRead, ResultSent> {
  /**
   * Where the chunks go: a URL (`file:///folder/`, `s3://bucket/path`, ...), an ObjectStore of your own (which no client
   * closes), or null: only the queue keeps operations and results.
   *
   * @defaultValue `null`
   */
  readonly store?: string | URL | ObjectStore | null | undefined;
  /**
   * How operations and results are encoded.
   *
   * @defaultValue `'cbor'`
   */
  readonly codec?: ContractCodec | undefined;
  /**
   * What an operation must be: a schema of any library that implements Standard Schema (Zod, Valibot, ArkType, ...).
   *
   * @defaultValue none: operations are not checked
   */
  readonly operation?: StandardSchema<Op, OpRead> | undefined;
  /**
   * What the result of an operation must be.
   *
   * @defaultValue none: results are not checked
   */
  readonly result?: StandardSchema<ResultSent, Result> | undefined;
}

/**
 * What producers and consumers of one queue agree on, made by {@link defineContract}. Plain and frozen: a test can use
 * the same contract with another store, `{ ...contract, store: 'memory:///test' }`.
 *
 * @typeParam Op - an operation as a producer submits it
 * @typeParam Result - a result as a producer reads it
 * @typeParam OpRead - an operation as a consumer gets it; differs from `Op` where a schema transforms
 * @typeParam ResultSent - a result as a consumer returns it
 */
export interface Contract<Op = unknown, Result = unknown, OpRead = Op, ResultSent = Result> {
  /** The version of this interface; by it clients know a contract from an object store. */
  readonly '~contract': 1;
  readonly store: string | ObjectStore | null;
  readonly codec: ContractCodec;
  readonly operation: StandardSchema | null;
  readonly result: StandardSchema | null;
  /** For the compiler only. */
  readonly '~types'?: {
    readonly producer: (operation: Op) => Result;
    readonly consumer: (result: ResultSent) => OpRead;
  };
}

/** A contract, whatever it is about. */
export type AnyContract = Contract<never, unknown, unknown, never>;

/**
 * Defines what producers and consumers of a queue agree on: the types of operations and results, how and where they are
 * stored and, with schemas, what is valid. Both clients take it in the place of the object store's URL.
 *
 * A schema is applied by each side: the one that sends checks the value and sends it as it was given, the one that reads
 * checks it again and uses the schema's *output*. So transformations, coercions and defaults take effect once, where
 * a value is read. Schemas may be asynchronous.
 *
 * - A producer checks operations while it reads its source. One that is invalid ends the call with a
 *   ContractViolationError that has its index and the issues; nothing is inserted.
 * - A consumer checks operations before the callback and results after it. One that is invalid fails the submission, as
 *   a NonRetryableError does (with `onOpError: 'record'` only that operation).
 * - A producer checks results when it reads them. One that is invalid ends the reading with a ContractViolationError. An
 *   OpError in the place of a result is passed on as it is.
 *
 * @example
 * ```ts
 * // capitalize.ts, imported by both programs
 * import { defineContract } from 'opsqueue';
 *
 * export const capitalize = defineContract<string, string>({ store: 's3://bucket/words' });
 * ```
 * @throws IncorrectUsageError for an option that makes no sense
 */
export function defineContract(
  options: ContractOptions<Uint8Array, Uint8Array, Uint8Array, Uint8Array> & { readonly codec: 'raw' },
): Contract<Uint8Array, Uint8Array>;
export function defineContract<Op = unknown, Result = unknown, OpRead = Op, ResultSent = Result>(
  options: ContractOptions<Op, Result, OpRead, ResultSent>,
): Contract<Op, Result, OpRead, ResultSent>;
export function defineContract(options: ContractOptions<unknown, unknown, unknown, unknown>): AnyContract {
  refuseUnknownOptions(options, { store: true, codec: true, operation: true, result: true });
  const { codec = 'cbor', operation, result } = options;
  const store: unknown = urlText(options.store ?? null);
  if (store !== null && typeof store !== 'string' && !(isObject(store) && typeof store.put === 'function')) {
    throw mustBe('store', 'a URL, an ObjectStore or null', store);
  }
  if (codec !== 'raw' && namedCodecOf(codec) === null && !isCodec(codec)) {
    throw mustBe('codec', `'raw', ${CODEC_KINDS}`, codec);
  }
  for (const [name, schema] of Object.entries({ operation, result })) {
    if (schema === undefined || isStandardSchema(schema)) continue;
    throw mustBe(name, 'a schema with the interface of Standard Schema', schema);
  }
  return Object.freeze({
    '~contract': 1,
    store: store as string | ObjectStore | null,
    codec,
    operation: operation ?? null,
    result: result ?? null,
  });
}

/**
 * The contract that a client was given, or one of its codec and whatever says where the chunks go.
 *
 * @throws IncorrectUsageError for a codec beside a contract
 */
export function contractOf(
  given: AnyContract | string | URL | ObjectStore | null,
  codec: ContractCodec | undefined,
): AnyContract {
  if (!isContract(given)) return defineContract({ store: given, codec });
  if (codec !== undefined) throw new IncorrectUsageError('codec: the contract has it already');
  return given;
}

/** Whether it is a contract, and no object store. */
export function isContract(value: unknown): value is AnyContract {
  return isObject(value) && value['~contract'] === 1;
}
