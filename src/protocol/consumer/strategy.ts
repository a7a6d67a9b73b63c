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

const VARIANTS = encodedNames('Oldest', 'Newest', 'Random', 'PreferDistinct');
const OLDEST = 0;
const NEWEST = 1;
const RANDOM = 2;

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
  const variant = reader.variant(VARIANTS, field);
  switch (variant) {
    case OLDEST:
    case NEWEST:
    case RANDOM:
      // The reference takes a map from the name to null as well.
      if (reader.variantHasValue && !reader.tryNull()) throw reader.error(field, 'no value was expected');
      return variant === OLDEST
        ? Strategy.oldest()
        : variant === NEWEST
          ? Strategy.newest()
          : Strategy.random();
    default:
      return readPreferDistinct(reader, field, depth);
  }
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
  let size = NAMES_CBOR.oldest.length;
  for (let s = strategy; s.kind === 'prefer_distinct'; s = s.underlying) {
    size += PREFER_DISTINCT_CBOR.length + textSizeMax(s.metaKey) + UNDERLYING_CBOR.length;
  }
  return size;
}
