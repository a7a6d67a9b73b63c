import { JsonSyntaxError } from './json-errors.ts';
import { JsonReader } from './json-reader.ts';

export { JsonShapeError, JsonSyntaxError } from './json-errors.ts';

/** How deep values may nest. */
export const JSON_DEPTH_MAX = 500;

/** A run of digits that may be an integer which a double cannot hold. In a text or a float it does no harm here. */
const LONG_DIGITS = /[0-9]{16}/;

/**
 * Any JSON as plain values, as `JSON.parse` gives them (a key `__proto__` is plain data, of equal keys the last
 * one counts), but for integers beyond 2^53 - 1, which are bigints.
 *
 * @throws JsonSyntaxError for anything else; nesting beyond {@link JSON_DEPTH_MAX} included
 */
export function parseJson(body: Uint8Array | string): unknown {
  const reader = new JsonReader(body);
  const text =
    typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
  // Native parsing is an order of magnitude faster, and exact unless there is such a number.
  if (!LONG_DIGITS.test(text)) {
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new JsonSyntaxError('', error instanceof Error ? error.message : String(error));
    }
  }
  const value = readValue(reader, 0);
  reader.end();
  return value;
}

function readValue(reader: JsonReader, depth: number): unknown {
  if (depth > JSON_DEPTH_MAX) throw new JsonSyntaxError('', `it nests deeper than ${JSON_DEPTH_MAX}`);
  switch (reader.next('')) {
    case 'object': {
      const fields: [string, unknown][] = [];
      reader.object('', (key) => fields.push([key, readValue(reader, depth + 1)]));
      // Defines properties instead of assigning them, so that `__proto__` is a key like any other.
      return Object.fromEntries(fields);
    }
    case 'array': {
      const elements: unknown[] = [];
      reader.array('', () => elements.push(readValue(reader, depth + 1)));
      return elements;
    }
    case 'text':
      return reader.text('');
    default:
      return reader.scalar('');
  }
}

/**
 * Plain values as JSON, as `JSON.stringify` writes them, but for bigints, which are integers.
 *
 * @throws TypeError for what JSON cannot tell (cycles; a value that is no JSON value at all)
 */
export function formatJson(value: unknown): string {
  const text = stringify(value);
  if (text === undefined) throw new TypeError(`a ${typeof value} is no JSON value`);
  return text;
}

function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value) as string | undefined;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // Perhaps a bigint. A replacer makes everything ten times slower, so that it is the second try.
    return JSON.stringify(value, (_key, inner: unknown) =>
      typeof inner === 'bigint' ? rawInteger(inner) : inner,
    ) as string | undefined;
  }
}

/** What V8 writes as it stands, without quotes. TypeScript's libraries do not know it yet. */
function rawInteger(value: bigint): unknown {
  const json = JSON as typeof JSON & { readonly rawJSON: (text: string) => unknown };
  return json.rawJSON(String(value));
}
