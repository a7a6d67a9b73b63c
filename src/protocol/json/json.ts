import { messageOf } from '../../model/thrown.ts';
import type { ReadingOptions } from '../chunk/codec-options.ts';
import { JsonSyntaxError } from './errors.ts';
import { JsonReader } from './reader.ts';

export { JsonShapeError, JsonSyntaxError } from './errors.ts';

/** How deep values may nest. */
export const JSON_DEPTH_MAX = 500;

/**
 * What may be an integer that a double cannot hold: digits between what can stand around a number. So floats of many
 * digits and texts of digits alone are left to native parsing; of a text with such digits inside, a false alarm does no harm.
 */
const LONG_INTEGER = /(?:^|[[:,\s-])[0-9]{16,}(?:[\],}\s]|$)/;
/** What may be a NaN of Python's, if the text is no JSON. */
const CONSTANT = /NaN|Infinity/;

/**
 * Any JSON as plain values, as `JSON.parse` gives them (a key `__proto__` is plain data, of equal keys the last
 * one counts), but for integers beyond 2^53 - 1, which are bigints, and NaN and Infinity, which Python writes.
 *
 * @throws JsonSyntaxError for anything else; nesting beyond {@link JSON_DEPTH_MAX} included
 */
export function parseJson(body: Uint8Array | string, options: ReadingOptions): unknown {
  const reader = new JsonReader(body, true);
  const text =
    typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
  // Native parsing is an order of magnitude faster, and exact unless there is such a number.
  if (options.maps === 'object' && options.integers === 'number' && !LONG_INTEGER.test(text)) {
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      if (!CONSTANT.test(text)) throw new JsonSyntaxError('', messageOf(error));
    }
  }
  const value = readValue(reader, 0, options);
  reader.end();
  return value;
}

function readValue(reader: JsonReader, depth: number, options: ReadingOptions): unknown {
  if (depth > JSON_DEPTH_MAX) throw new JsonSyntaxError('', `it nests deeper than ${JSON_DEPTH_MAX}`);
  switch (reader.next('')) {
    case 'object': {
      const fields: [string, unknown][] = [];
      reader.object('', (key) => fields.push([key, readValue(reader, depth + 1, options)]));
      if (options.maps === 'map') return new Map(fields);
      // Defines properties instead of assigning them, so that `__proto__` is a key like any other.
      return Object.fromEntries(fields);
    }
    case 'array': {
      const elements: unknown[] = [];
      reader.array('', () => elements.push(readValue(reader, depth + 1, options)));
      return elements;
    }
    case 'text':
      return reader.text('');
    default:
      return reader.tryConstant() ?? reader.scalar('', options.integers === 'bigint');
  }
}
