import { OpsqueueError, ProtocolError } from '../../model/errors.ts';
import {
  META_KEY_BYTES_MAX,
  META_PAIRS_MAX,
  SELECT_VALUES_MAX,
  STRATEGY_DEPTH_MAX,
  STRATEGY_PARTS_MAX,
} from '../../model/limits.ts';
import {
  fieldOf,
  isInnerField,
  orderedValues,
  STRATEGY_KINDS,
  type StrategyField,
  type StrategyKind,
  type StrategyShape,
  TOO_DEEP,
  TOO_MANY_PARTS,
} from '../../model/strategy-shape.ts';
import type { CborReader } from '../cbor/reader.ts';
import { type CborWriter, encodedNames, encodedRun, HEAD_BYTES_MAX, textSizeMax } from '../cbor/writer.ts';
import type { Nonce } from './types.ts';

/**
 * A strategy that is well-formed but beyond a limit. The reservation is refused (`Err`), the connection stays:
 * unlike a {@link ProtocolError} this is no garbage.
 */
export class StrategyRefusedError extends OpsqueueError {
  /** Of the reservation that asked for it. */
  readonly nonce: Nonce;

  constructor(nonce: Nonce, message: string) {
    super('STRATEGY_REFUSED', message);
    this.nonce = nonce;
  }
}

/**
 * A strategy of which nobody here knows a name. The original closes the connection; a client that can be told is told, and
 * its connection stays.
 */
export class UnknownStrategyError extends ProtocolError {
  /** Of the reservation that asked for it. */
  readonly nonce: Nonce;

  constructor(nonce: Nonce, { field, reason }: StrategyRefusal) {
    super(field, `${field}: ${reason}`);
    this.nonce = nonce;
  }
}

/** Why a strategy cannot be taken; what is read after it does not matter any more. */
export interface StrategyRefusal {
  readonly field: string;
  readonly reason: string;
  readonly isUnknown: boolean;
}

const FIELD_NAMES: Readonly<Record<StrategyField, string>> = {
  metaKey: 'meta_key',
  values: 'values',
  max: 'max',
  underlying: 'underlying',
  first: 'first',
  fallback: 'fallback',
};

/** A kind as it is written: its head up to the first field's value, and the names of the further fields. */
interface KindOnWire {
  readonly kind: StrategyKind;
  readonly name: string;
  readonly fields: readonly StrategyField[];
  readonly fieldNames: readonly Uint8Array[];
  readonly runs: readonly Uint8Array[];
  /** One object for all, of a kind without fields. */
  readonly plain: StrategyShape;
}

const KINDS: readonly KindOnWire[] = (Object.keys(STRATEGY_KINDS) as StrategyKind[]).map((kind) => {
  const { wireName: name, fields } = STRATEGY_KINDS[kind];
  const names = fields.map((field) => FIELD_NAMES[field]);
  const runs =
    fields.length === 0
      ? [encodedRun(name)]
      : names.map((field, i) =>
          i === 0 ? encodedRun({ map: 1 }, name, { map: names.length }, field) : encodedRun(field),
        );
  const plain = Object.freeze({ kind }) as StrategyShape;
  return { kind, name, fields, fieldNames: encodedNames(...names), runs, plain };
});
const KIND_NAMES = encodedNames(...KINDS.map(({ name }) => name));
const KIND_OF = new Map(KINDS.map((kind) => [kind.kind, kind]));

/** Stands for what is refused. */
const UNKNOWN: StrategyShape = Object.freeze({ kind: 'random' });

/** What is counted while a strategy is read. */
interface Reading {
  parts: number;
  /** The first limit that it is beyond, or the first name that is not known. */
  refusal: StrategyRefusal | null;
}

/** Reads a strategy. One beyond a limit is read to its end and told as a refusal. */
export function readStrategy(reader: CborReader, field: string): StrategyShape | StrategyRefusal {
  const reading: Reading = { parts: 0, refusal: null };
  const strategy = read(reader, field, 0, reading);
  return reading.refusal ?? strategy;
}

function refuse(reading: Reading, field: string, reason: string | null, isUnknown = false): void {
  if (reason !== null) reading.refusal ??= { field, reason, isUnknown };
}

function read(reader: CborReader, field: string, depth: number, reading: Reading): StrategyShape {
  const found = reader.tryVariant(KIND_NAMES, field);
  if (found < 0) {
    refuse(reading, field, `the strategy ${reader.unknownVariant} is not known`, true);
    if (reader.variantHasValue) reader.skip(field);
    return UNKNOWN;
  }
  const { name, fields, fieldNames, plain } = KINDS[found]!;
  if (++reading.parts > STRATEGY_PARTS_MAX) refuse(reading, field, TOO_MANY_PARTS);
  if (fields.length === 0) {
    // The reference takes a map from the name to null as well.
    if (reader.variantHasValue && !reader.tryNull()) throw reader.error(field, 'no value was expected');
    return plain;
  }
  if (!reader.variantHasValue) throw reader.error(field, `${name} needs a value`);
  if (depth >= STRATEGY_DEPTH_MAX) {
    reader.skip(field);
    refuse(reading, field, TOO_DEEP);
    return UNKNOWN;
  }
  const made: Record<string, unknown> = { kind: plain.kind };
  for (let left = reader.openMap(field); reader.more(left); left--) {
    const at = reader.key(fieldNames, field);
    const known = fields[at];
    if (known === undefined) {
      reader.skip(field);
      continue;
    }
    if (made[known] !== undefined) throw reader.error(field, `${FIELD_NAMES[known]} is given twice`);
    made[known] = readField(reader, field, known, depth, reading);
  }
  for (const known of fields) {
    if (made[known] === undefined) throw reader.error(field, `${FIELD_NAMES[known]} is missing`);
  }
  return Object.freeze(made) as StrategyShape;
}

function readField(
  reader: CborReader,
  path: string,
  field: StrategyField,
  depth: number,
  reading: Reading,
): unknown {
  if (isInnerField(field)) return read(reader, path, depth + 1, reading);
  const name = `${path}.${FIELD_NAMES[field]}`;
  if (field === 'values') return readValues(reader, name, reading);
  if (field === 'max') {
    const max = reader.uintClamped(name);
    if (max === 0) refuse(reading, name, 'the max of MaxSimultaneous is 0, at least 1 is possible');
    return max;
  }
  const key = reader.text(name);
  refuse(reading, name, metaKeyRefusal(key));
  return key;
}

function readValues(reader: CborReader, name: string, reading: Reading): readonly bigint[] {
  const values: bigint[] = [];
  let count = 0;
  for (let left = reader.openArray(name); reader.more(left); left--) {
    const value = reader.int64(name);
    if (count++ <= SELECT_VALUES_MAX) values.push(value);
  }
  if (count === 0 || count > SELECT_VALUES_MAX) {
    refuse(reading, name, `a selection has 1 to ${SELECT_VALUES_MAX} values, got ${count}`);
  }
  return orderedValues(values);
}

/** Why a key of strategic metadata, or of a strategy, cannot be taken; null if it can. */
export function metaKeyRefusal(key: string): string | null {
  // A character takes at most 3 bytes for each UTF-16 unit, so that most keys need not be measured.
  if (key.length * 3 <= META_KEY_BYTES_MAX || Buffer.byteLength(key) <= META_KEY_BYTES_MAX) return null;
  return `the key ${JSON.stringify(key.slice(0, 40))}... has more than ${META_KEY_BYTES_MAX} bytes`;
}

/** Why there cannot be so many pairs of strategic metadata; null if there can. */
export function metaPairsRefusal(pairs: number): string | null {
  if (pairs <= META_PAIRS_MAX) return null;
  return `${pairs} pairs are more than the ${META_PAIRS_MAX} of a submission`;
}

export function writeStrategy(writer: CborWriter, strategy: StrategyShape): void {
  const { fields, runs } = KIND_OF.get(strategy.kind)!;
  writer.raw(runs[0]!);
  for (const [i, field] of fields.entries()) {
    if (i > 0) writer.raw(runs[i]!);
    const value = fieldOf(strategy, field);
    if (isInnerField(field)) writeStrategy(writer, value as StrategyShape);
    else if (field === 'metaKey') writer.text(value as string);
    else if (field === 'max') writer.uint(value as number);
    else {
      const values = value as readonly bigint[];
      writer.array(values.length);
      for (const each of values) writer.int(each);
    }
  }
}

/** The most bytes that {@link writeStrategy} writes. */
export function strategySizeMax(strategy: StrategyShape): number {
  const { fields, runs } = KIND_OF.get(strategy.kind)!;
  let size = runs.reduce((sum, run) => sum + run.length, 0);
  for (const field of fields) {
    const value = fieldOf(strategy, field);
    if (isInnerField(field)) size += strategySizeMax(value as StrategyShape);
    else if (field === 'metaKey') size += textSizeMax(value as string);
    else if (field === 'max') size += HEAD_BYTES_MAX;
    else size += ((value as readonly bigint[]).length + 1) * HEAD_BYTES_MAX;
  }
  return size;
}
