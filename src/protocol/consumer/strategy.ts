import { OpsqueueError } from '../../model/errors.ts';
import { META_KEY_BYTES_MAX, META_PAIRS_MAX, STRATEGY_DEPTH_MAX } from '../../model/limits.ts';
import { Strategy } from '../../model/strategy.ts';
import type { CborReader } from '../cbor/reader.ts';
import { type CborWriter, encodedNames, encodedRun, textSizeMax } from '../cbor/writer.ts';
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

/** Why a strategy cannot be taken. */
export interface StrategyRefusal {
  readonly refusal: string;
}

type ReadStrategy = (reader: CborReader, field: string, depth: number) => Strategy | StrategyRefusal;

/** What each kind is called, and how what follows its name is read. */
const KINDS: Readonly<Record<Strategy['kind'], readonly [name: string, read: ReadStrategy]>> = {
  oldest: ['Oldest', nameOnly(Strategy.oldest())],
  newest: ['Newest', nameOnly(Strategy.newest())],
  random: ['Random', nameOnly(Strategy.random())],
  prefer_distinct: ['PreferDistinct', readPreferDistinct],
};
const KIND_NAMES = encodedNames(...Object.values(KINDS).map(([name]) => name));
const KIND_READERS = Object.values(KINDS).map(([, read]) => read);

const PREFER_DISTINCT_FIELDS = encodedNames('meta_key', 'underlying');
const META_KEY = 0;
const UNDERLYING = 1;

const NAMES_CBOR = {
  oldest: encodedRun('Oldest'),
  newest: encodedRun('Newest'),
  random: encodedRun('Random'),
} as const;
const PREFER_DISTINCT_CBOR = encodedRun({ map: 1 }, 'PreferDistinct', { map: 2 }, 'meta_key');
const UNDERLYING_CBOR = encodedRun('underlying');

/** Reads a strategy. One beyond a limit is read to its end and told as a refusal. */
export function readStrategy(reader: CborReader, field: string, depth = 1): Strategy | StrategyRefusal {
  return KIND_READERS[reader.variant(KIND_NAMES, field)]!(reader, field, depth);
}

function nameOnly(strategy: Strategy): ReadStrategy {
  return (reader, field) => {
    // The reference takes a map from the name to null as well.
    if (reader.variantHasValue && !reader.tryNull()) throw reader.error(field, 'no value was expected');
    return strategy;
  };
}

function readPreferDistinct(reader: CborReader, field: string, depth: number): Strategy | StrategyRefusal {
  if (!reader.variantHasValue) throw reader.error(field, 'PreferDistinct needs a value');
  if (depth > STRATEGY_DEPTH_MAX) {
    reader.skip(field);
    return { refusal: `the strategy nests deeper than ${STRATEGY_DEPTH_MAX}` };
  }
  let metaKey: string | null = null;
  let underlying: Strategy | StrategyRefusal | null = null;
  for (let left = reader.openMap(field); reader.more(left); left--) {
    switch (reader.key(PREFER_DISTINCT_FIELDS, field)) {
      case META_KEY:
        if (metaKey !== null) throw reader.error(field, 'meta_key is given twice');
        metaKey = reader.text(`${field}.meta_key`);
        break;
      case UNDERLYING:
        if (underlying !== null) throw reader.error(field, 'underlying is given twice');
        underlying = readStrategy(reader, field, depth + 1);
        break;
      default:
        reader.skip(field);
    }
  }
  if (metaKey === null) throw reader.error(field, 'meta_key is missing');
  if (underlying === null) throw reader.error(field, 'underlying is missing');
  if ('refusal' in underlying) return underlying;
  const refusal = metaKeyRefusal(metaKey);
  return refusal === null ? Strategy.preferDistinct(metaKey, underlying) : { refusal };
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

export function writeStrategy(writer: CborWriter, strategy: Strategy): void {
  let inner = strategy;
  for (; inner.kind === 'prefer_distinct'; inner = inner.underlying) {
    writer.raw(PREFER_DISTINCT_CBOR);
    writer.text(inner.metaKey);
    writer.raw(UNDERLYING_CBOR);
  }
  writer.raw(NAMES_CBOR[inner.kind]);
}

/** The most bytes that {@link writeStrategy} writes. */
export function strategySizeMax(strategy: Strategy): number {
  let inner = strategy;
  let size = 0;
  for (; inner.kind === 'prefer_distinct'; inner = inner.underlying) {
    size += PREFER_DISTINCT_CBOR.length + textSizeMax(inner.metaKey) + UNDERLYING_CBOR.length;
  }
  return size + NAMES_CBOR[inner.kind].length;
}
