import { mustBe, show } from './check.ts';
import { IncorrectUsageError } from './errors.ts';
import { STRATEGY_DEPTH_MAX } from './limits.ts';
import {
  checkStrategy,
  fieldOf,
  isInnerField,
  STRATEGY_KINDS,
  type StrategyField,
  type StrategyKind,
  type StrategyShape,
  TOO_DEEP,
} from './strategy-shape.ts';

const KINDS_BY_NAME = new Map<string, StrategyKind>(
  (Object.keys(STRATEGY_KINDS) as StrategyKind[]).map((kind) => [STRATEGY_KINDS[kind].textName, kind]),
);

/** A key that needs no quotes. */
const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_.-]*$/;

/** `preferDistinct(customer, selectOnly(kind, [1, 2], oldest))`. Equal strategies, and only they, have equal texts. */
export function strategyText(strategy: StrategyShape): string {
  const { textName, fields } = STRATEGY_KINDS[strategy.kind];
  if (fields.length === 0) return textName;
  return `${textName}(${fields.map((field) => fieldText(strategy, field)).join(', ')})`;
}

function fieldText(strategy: StrategyShape, field: StrategyField): string {
  const value = fieldOf(strategy, field);
  if (isInnerField(field)) return strategyText(value as StrategyShape);
  if (field === 'values') return `[${(value as readonly bigint[]).join(', ')}]`;
  if (field === 'max') return String(value);
  const key = value as string;
  return PLAIN_KEY.test(key) ? key : JSON.stringify(key);
}

/**
 * The strategy of a text as {@link strategyText} writes it. An inner strategy at the end may be left out: it is `random`.
 * Spaces do not matter.
 *
 * @throws IncorrectUsageError that says where it went wrong
 */
export function parseStrategy(text: string): StrategyShape {
  if (typeof text !== 'string') throw mustBe("a strategy's text form", 'a string', text);
  const parser = new Parser(text);
  const strategy = parser.strategy();
  parser.end();
  return checkStrategy(strategy);
}

const SPACE = /\s*/y;
const TOKEN = /(?:([A-Za-z_][A-Za-z0-9_.-]*)|("(?:[^"\\]|\\.)*")|(-?[0-9]+)|([()[\],]))/y;

interface Token {
  readonly kind: 'name' | 'quoted' | 'number' | 'sign' | 'end';
  readonly text: string;
  /** Where it begins, from 1. */
  readonly character: number;
}

class Parser {
  readonly #text: string;
  #at = 0;
  #next: Token;
  /** Where the last one taken begins. */
  #taken = 1;

  constructor(text: string) {
    this.#text = text;
    this.#next = this.#read();
  }

  strategy(depth = 0): unknown {
    if (depth > STRATEGY_DEPTH_MAX) throw this.#error(TOO_DEEP, this.#next.character);
    const name = this.#take('name', 'a strategy');
    const kind = KINDS_BY_NAME.get(name);
    if (kind === undefined) {
      const known = [...KINDS_BY_NAME.keys()].join(', ');
      throw this.#error(`there is no strategy ${show(name)}; known are ${known}`, this.#taken);
    }
    const { fields } = STRATEGY_KINDS[kind];
    const made: Record<string, unknown> = { kind };
    if (fields.length === 0) return made;
    this.#sign('(');
    for (const [i, field] of fields.entries()) {
      if (i > 0 && field === 'underlying' && this.#next.text === ')') made[field] = { kind: 'random' };
      else {
        if (i > 0) this.#sign(',');
        made[field] = this.#field(field, depth);
      }
    }
    this.#sign(')');
    return made;
  }

  end(): void {
    if (this.#next.kind !== 'end') throw this.#unexpected('the end');
  }

  #field(field: StrategyField, depth: number): unknown {
    if (isInnerField(field)) return this.strategy(depth + 1);
    if (field === 'max') return Number(this.#take('number', 'a number'));
    if (field === 'values') return this.#values();
    if (this.#next.kind === 'name') return this.#take('name', 'a key');
    try {
      return JSON.parse(this.#take('quoted', 'a key of strategic metadata')) as string;
    } catch (cause) {
      throw cause instanceof IncorrectUsageError
        ? cause
        : this.#error('the key is not a JSON text', this.#taken);
    }
  }

  #values(): bigint[] {
    this.#sign('[');
    const values = [BigInt(this.#take('number', 'a value'))];
    while (this.#next.text === ',') {
      this.#sign(',');
      values.push(BigInt(this.#take('number', 'a value')));
    }
    this.#sign(']');
    return values;
  }

  #sign(sign: string): void {
    if (this.#next.kind !== 'sign' || this.#next.text !== sign) throw this.#unexpected(show(sign));
    this.#next = this.#read();
  }

  #take(kind: Token['kind'], wanted: string): string {
    const { text, character } = this.#next;
    if (this.#next.kind !== kind) throw this.#unexpected(wanted);
    this.#taken = character;
    this.#next = this.#read();
    return text;
  }

  #read(): Token {
    SPACE.lastIndex = this.#at;
    this.#at += SPACE.exec(this.#text)![0].length;
    const character = this.#at + 1;
    TOKEN.lastIndex = this.#at;
    const found = TOKEN.exec(this.#text);
    if (found === null) {
      const sign = this.#text[this.#at];
      if (sign !== undefined) throw this.#error(`${show(sign)} was not expected`, character);
      return { kind: 'end', text: '', character };
    }
    this.#at = TOKEN.lastIndex;
    const [, name, quoted, number, sign] = found;
    if (name !== undefined) return { kind: 'name', text: name, character };
    if (quoted !== undefined) return { kind: 'quoted', text: quoted, character };
    if (number !== undefined) return { kind: 'number', text: number, character };
    return { kind: 'sign', text: sign!, character };
  }

  #unexpected(wanted: string): IncorrectUsageError {
    const got = this.#next.kind === 'end' ? 'its end' : show(this.#next.text);
    return this.#error(`${wanted} was expected, got ${got}`, this.#next.character);
  }

  #error(what: string, character: number): IncorrectUsageError {
    return new IncorrectUsageError(`strategy ${show(this.#text)}, character ${character}: ${what}`);
  }
}
