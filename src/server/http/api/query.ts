import { ProtocolError } from '../../../model/errors.ts';
import type { SubmissionId } from '../../../model/ids.ts';
import { isMap } from '../../../model/kinds.ts';
import { META_VALUE_MAX, META_VALUE_MIN } from '../../../model/limits.ts';
import { isQueueName, UNNAMED_QUEUE } from '../../../model/queue-name.ts';
import type { Parameter } from '../../../protocol/api/parameters.ts';
import { parseIdSegment } from '../../../protocol/producer/requests.ts';

export type QueryShape = Readonly<Record<string, Parameter>>;

type Plain<P extends Parameter> = P extends { readonly kind: 'id' }
  ? SubmissionId
  : P extends { readonly kind: 'integer' | 'time' }
    ? number
    : P extends { readonly kind: 'choice'; readonly choices: readonly (infer Choice)[] }
      ? Choice
      : P extends { readonly kind: 'choices'; readonly choices: readonly (infer Choice)[] }
        ? readonly Choice[]
        : P extends { readonly kind: 'pairs' }
          ? ReadonlyMap<string, bigint>
          : string;

/** What was asked; null for what was left out and has no default. Lists are empty then. Times are Unix milliseconds. */
export type QueryOf<Ps extends QueryShape> = {
  readonly [Name in keyof Ps]: Ps[Name] extends
    | { readonly default: unknown }
    | { readonly kind: 'choices' | 'pairs' }
    ? Plain<Ps[Name]>
    : Plain<Ps[Name]> | null;
};

const SHOWN_MAX = 60;
const TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/;
/** A strategy may have as many: with 256 values, of up to ten digits each. */
const TEXT_CHARS_MAX = 4_000;

/**
 * Reads the query of a request.
 *
 * @param confinedTo the queue whose address was used; '' = the server's, which is for all queues
 * @throws ProtocolError that names the parameter
 */
export function parseQuery<const Ps extends QueryShape>(
  parameters: Ps,
  query: string,
  confinedTo: string,
): QueryOf<Ps> {
  const given = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(query)) {
    // A misspelt filter must not become one that matches more.
    if (!Object.hasOwn(parameters, name)) {
      throw refusal(name, `there is no such parameter; known are ${Object.keys(parameters).join(', ')}`);
    }
    if (value.length > TEXT_CHARS_MAX) throw refusal(name, `more than ${TEXT_CHARS_MAX} characters`);
    given.set(name, [...(given.get(name) ?? []), value]);
  }
  const read = Object.entries(parameters).map(([name, parameter]) => {
    const values = given.get(name) ?? [];
    return [name, readValue(name, parameter, values)] as const;
  });
  const result = Object.fromEntries(read);
  if (confinedTo !== '') {
    const { queue } = result;
    if (queue !== undefined && queue !== null && queue !== confinedTo) {
      throw refusal('queue', `this is the address of queue ${confinedTo}`);
    }
    result.queue = confinedTo;
  }
  return result as QueryOf<Ps>;
}

/** The same query has the same text, however it was written. */
export function queryText(query: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(query, (_name, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    return isMap(value) ? Array.from(value, (pair) => String(pair)).sort() : value;
  });
}

function readValue(name: string, parameter: Parameter, values: readonly string[]): unknown {
  if (parameter.kind === 'pairs') return pairsOf(name, values);
  if (parameter.kind === 'choices') {
    return values.flatMap((value) => value.split(',')).map((each) => choiceOf(name, parameter.choices, each));
  }
  const [value] = values;
  if (values.length > 1) throw refusal(name, 'it is given more than once');
  if (value === undefined) return 'default' in parameter ? parameter.default : null;
  switch (parameter.kind) {
    case 'text':
      return value;
    case 'id':
      return idOf(name, value);
    case 'queue':
      return queueOf(name, value);
    case 'time':
      return timeOf(name, value);
    case 'choice':
      return choiceOf(name, parameter.choices, value);
    case 'integer': {
      const { min, max } = parameter;
      const number = /^[0-9]{1,16}$/.test(value) ? Number(value) : -1;
      if (number >= min && number <= max) return number;
      throw refusal(name, `an integer from ${min} to ${max} was expected, got ${shown(value)}`);
    }
  }
}

function idOf(name: string, value: string): SubmissionId {
  const id = parseIdSegment(value);
  if (id === null) throw refusal(name, `${shown(value)} is not a submission id`);
  return id;
}

function queueOf(name: string, value: string): string {
  if (value === UNNAMED_QUEUE) return '';
  if (isQueueName(value)) return value;
  throw refusal(name, `the name of a queue was expected, or - for the unnamed one, got ${shown(value)}`);
}

function timeOf(name: string, value: string): number {
  // Without a zone, the server's own would be meant, which nobody knows.
  const unixMs = TIME.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(unixMs)) return unixMs;
  throw refusal(name, `a time such as 2026-11-27T15:14:16Z was expected, got ${shown(value)}`);
}

function choiceOf(name: string, choices: readonly string[], value: string): string {
  if (choices.includes(value)) return value;
  throw refusal(name, `one of ${choices.join(', ')} was expected, got ${shown(value)}`);
}

function pairsOf(name: string, values: readonly string[]): ReadonlyMap<string, bigint> {
  const pairs = new Map<string, bigint>();
  for (const text of values) {
    const [key, value] = pairOf(name, text);
    // All have to match, and nothing has two values of a key.
    if ((pairs.get(key) ?? value) !== value) throw refusal(name, `two values of ${shown(key)}`);
    pairs.set(key, value);
  }
  return pairs;
}

function pairOf(name: string, value: string): readonly [string, bigint] {
  // Keys may have colons, values have none.
  const [, key = '', digits = ''] = /^(.*):(-?[0-9]{1,19})$/s.exec(value) ?? [];
  const number = digits === '' ? META_VALUE_MAX + 1n : BigInt(digits);
  if (key !== '' && number >= META_VALUE_MIN && number <= META_VALUE_MAX) return [key, number];
  throw refusal(name, `key:integer was expected, such as customer:42, got ${shown(value)}`);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN_MAX));
}

function refusal(name: string, text: string): ProtocolError {
  return new ProtocolError(name, `${name.slice(0, SHOWN_MAX)}: ${text}`);
}
