import { checkInteger, isObject, mustBe, show } from './check.ts';
import { IncorrectUsageError } from './errors.ts';
import {
  META_KEY_BYTES_MAX,
  META_VALUE_MAX,
  META_VALUE_MIN,
  SELECT_VALUES_MAX,
  STRATEGY_DEPTH_MAX,
  STRATEGY_PARTS_MAX,
} from './limits.ts';

/** A strategy as plain data: it crosses threads and the wire. */
export type StrategyShape =
  | { readonly kind: 'oldest' }
  | { readonly kind: 'newest' }
  | { readonly kind: 'random' }
  | { readonly kind: 'prefer_distinct'; readonly metaKey: string; readonly underlying: StrategyShape }
  | { readonly kind: 'priority'; readonly metaKey: string; readonly underlying: StrategyShape }
  | {
      readonly kind: 'select_only' | 'select_except';
      readonly metaKey: string;
      /** Ascending, each once. */
      readonly values: readonly bigint[];
      readonly underlying: StrategyShape;
    }
  | {
      readonly kind: 'max_simultaneous';
      readonly metaKey: string;
      readonly max: number;
      readonly underlying: StrategyShape;
    }
  | { readonly kind: 'or_else'; readonly first: StrategyShape; readonly fallback: StrategyShape };

export type StrategyKind = StrategyShape['kind'];
export type StrategyField = 'metaKey' | 'values' | 'max' | 'underlying' | 'first' | 'fallback';

interface KindOfStrategy {
  /** On the wire, and in labels of metrics. */
  readonly wireName: string;
  /** In its text form, and the builder's. */
  readonly textName: string;
  /** What it holds, in the order in which it is written. */
  readonly fields: readonly StrategyField[];
  /** Not known to the original: only for a peer that announced `strategies`. */
  readonly isExtension: boolean;
}

const kind = (
  wireName: string,
  fields: readonly StrategyField[] = [],
  origin: 'original' | 'extension' = 'extension',
): KindOfStrategy => ({
  wireName,
  textName: wireName[0]!.toLowerCase() + wireName.slice(1),
  fields,
  isExtension: origin === 'extension',
});

/**
 * Every kind of strategy. Reading, writing, printing, parsing and comparing follow this table; what a kind means for the
 * order is the scheduler's.
 */
export const STRATEGY_KINDS: Readonly<Record<StrategyKind, KindOfStrategy>> = {
  oldest: kind('Oldest', [], 'original'),
  newest: kind('Newest', [], 'original'),
  random: kind('Random', [], 'original'),
  prefer_distinct: kind('PreferDistinct', ['metaKey', 'underlying'], 'original'),
  priority: kind('Priority', ['metaKey', 'underlying']),
  select_only: kind('SelectOnly', ['metaKey', 'values', 'underlying']),
  select_except: kind('SelectExcept', ['metaKey', 'values', 'underlying']),
  max_simultaneous: kind('MaxSimultaneous', ['metaKey', 'max', 'underlying']),
  or_else: kind('OrElse', ['first', 'fallback']),
};

/** Fields that hold a strategy. */
const INNER_FIELDS: ReadonlySet<string> = new Set<StrategyField>(['underlying', 'first', 'fallback']);

export function isInnerField(field: StrategyField): field is 'underlying' | 'first' | 'fallback' {
  return INNER_FIELDS.has(field);
}

/** What a strategy holds, by name: for code that treats all kinds alike. */
export function fieldOf(strategy: StrategyShape, field: StrategyField): unknown {
  return (strategy as Readonly<Partial<Record<StrategyField, unknown>>>)[field];
}

/** The strategies that this one is made of: one, two, or none. */
export function innerOf(strategy: StrategyShape): readonly StrategyShape[] {
  switch (strategy.kind) {
    case 'oldest':
    case 'newest':
    case 'random':
      return [];
    case 'or_else':
      return [strategy.first, strategy.fallback];
    default:
      return [strategy.underlying];
  }
}

/** Whether the original does not know it, or something in it. */
export function isExtension(strategy: StrategyShape): boolean {
  return STRATEGY_KINDS[strategy.kind].isExtension || innerOf(strategy).some(isExtension);
}

/** Whether two strategies are written alike. */
export function isSameStrategy(one: StrategyShape, other: StrategyShape): boolean {
  return isSame(one, other, true);
}

/** Likewise, whichever values they select. */
export function isSameWithoutValues(one: StrategyShape, other: StrategyShape): boolean {
  return isSame(one, other, false);
}

function isSame(one: StrategyShape, other: StrategyShape, withValues: boolean): boolean {
  if (one === other) return true;
  if (one.kind !== other.kind) return false;
  for (const field of STRATEGY_KINDS[one.kind].fields) {
    const a = fieldOf(one, field);
    const b = fieldOf(other, field);
    if (a === b) continue;
    if (isInnerField(field)) {
      if (!isSame(a as StrategyShape, b as StrategyShape, withValues)) return false;
    } else if (field !== 'values') {
      return false;
    } else if (withValues && !isSameList(a as readonly bigint[], b as readonly bigint[])) {
      return false;
    }
  }
  return true;
}

function isSameList(one: readonly bigint[], other: readonly bigint[]): boolean {
  return one.length === other.length && one.every((value, i) => value === other[i]);
}

const MADE_BY = "made by Strategy's functions, or of a text by Strategy.parse";

/**
 * A strategy of what somebody passed: checked, in order, frozen.
 *
 * @param path what it is called in messages
 * @throws IncorrectUsageError that names the field and its value
 */
export function checkStrategy(value: unknown, path = 'strategy', depth = 0): StrategyShape {
  if (!isObject(value) || typeof value.kind !== 'string') throw mustBe(path, MADE_BY, value);
  if (!isKind(value.kind)) {
    throw new IncorrectUsageError(
      `${path} must be ${MADE_BY}, got an object of the kind ${show(value.kind)}`,
    );
  }
  const { fields } = STRATEGY_KINDS[value.kind];
  for (const name of Object.keys(value)) {
    if (name === 'kind' || (fields as readonly string[]).includes(name)) continue;
    throw new IncorrectUsageError(`${path} must be ${MADE_BY}, got one with the unknown field ${show(name)}`);
  }
  if (depth > STRATEGY_DEPTH_MAX) throw new IncorrectUsageError(`${path.split('.')[0]}: ${TOO_DEEP}`);
  const made: Record<string, unknown> = { kind: value.kind };
  for (const field of fields) {
    const inPath = `${path}.${field}`;
    made[field] = isInnerField(field)
      ? checkStrategy(value[field], inPath, depth + 1)
      : checkField(field, value[field], inPath);
  }
  const strategy = Object.freeze(made) as StrategyShape;
  // Of the whole, which the outermost call sees.
  if (depth === 0 && partsOf(strategy) > STRATEGY_PARTS_MAX) {
    throw new IncorrectUsageError(`${path}: ${TOO_MANY_PARTS}`);
  }
  return strategy;
}

export const TOO_DEEP = `the strategy nests deeper than ${STRATEGY_DEPTH_MAX}`;
export const TOO_MANY_PARTS = `the strategy has more than ${STRATEGY_PARTS_MAX} parts`;

/** How many strategies it is made of, itself included. */
function partsOf(strategy: StrategyShape): number {
  return innerOf(strategy).reduce((sum, inner) => sum + partsOf(inner), 1);
}

function isKind(name: string): name is StrategyKind {
  return Object.hasOwn(STRATEGY_KINDS, name);
}

function checkField(field: StrategyField, value: unknown, path: string): unknown {
  if (field === 'max') return checkInteger(path, value, 1);
  if (field === 'values') return checkValues(value, path);
  if (typeof value !== 'string' || !value.isWellFormed() || Buffer.byteLength(value) > META_KEY_BYTES_MAX) {
    throw mustBe(path, `a Unicode text of at most ${META_KEY_BYTES_MAX} bytes`, value);
  }
  return value;
}

function checkValues(value: unknown, path: string): readonly bigint[] {
  if (!Array.isArray(value)) throw mustBe(path, 'a list of integers', value);
  const values = orderedValues(value.map((each, i) => checkMetaValue(`${path}[${i}]`, each)));
  if (values.length >= 1 && values.length <= SELECT_VALUES_MAX) return values;
  throw new IncorrectUsageError(`${path} must have 1 to ${SELECT_VALUES_MAX} values, got ${values.length}`);
}

/** Ascending, each once; frozen. */
export function orderedValues(values: readonly bigint[]): readonly bigint[] {
  return Object.freeze([...new Set(values)].sort((a, b) => (a < b ? -1 : 1)));
}

/** A value of strategic metadata. */
export function checkMetaValue(name: string, value: unknown): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === 'bigint' && value >= META_VALUE_MIN && value <= META_VALUE_MAX) return value;
  throw mustBe(name, 'a safe integer or a bigint of 64 bits', value);
}
