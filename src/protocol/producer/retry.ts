import { RETRY_BOUNDS, RETRY_DEFAULT, type RetryPolicy } from '../../model/retry.ts';
import { JsonShapeError } from '../json/errors.ts';
import type { JsonReader } from '../json/reader.ts';

const NAMES = {
  tries_max: 'triesMax',
  delay_ms: 'delayMs',
  factor: 'factor',
  delay_ms_max: 'delayMsMax',
  jitter: 'jitter',
} as const satisfies Record<string, keyof RetryPolicy>;
const FIELDS = Object.keys(NAMES) as (keyof typeof NAMES)[];

/** The field `retry` of an insert; null means that the producer does not say. A field that is left out has its default. */
export function readRetryPolicy(reader: JsonReader, field: string): RetryPolicy | null {
  if (reader.tryNull(field)) return null;
  const policy: { -readonly [Field in keyof RetryPolicy]: RetryPolicy[Field] } = { ...RETRY_DEFAULT };
  reader.object(field, (key) => {
    const path = `${field}.${key}`;
    const known = FIELDS.find((name) => name === key);
    if (known === undefined) {
      reader.skip(path);
      return;
    }
    const name = NAMES[known];
    if (name === 'triesMax' && reader.tryNull(path)) policy.triesMax = null;
    else policy[name] = readNumber(reader, path, name);
  });
  return policy;
}

export function formatRetryPolicy(policy: RetryPolicy): string {
  return JSON.stringify(Object.fromEntries(FIELDS.map((name) => [name, policy[NAMES[name]]])));
}

function readNumber(reader: JsonReader, path: string, name: keyof RetryPolicy): number {
  const value = reader.number(path);
  const [least, greatest] = RETRY_BOUNDS[name];
  const isCount = name === 'triesMax';
  if (value >= least && value <= greatest && (!isCount || Number.isInteger(value))) return Number(value);
  throw new JsonShapeError(
    path,
    `${value} is not ${isCount ? 'a whole number ' : ''}between ${least} and ${greatest}`,
  );
}
