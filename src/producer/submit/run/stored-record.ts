import { isObject } from '../../../model/check.ts';
import { cborChunkCodec } from '../../../protocol/chunk/codec.ts';

const VERSION = 1;
const codec = cborChunkCodec();

/** What is kept of a run in one object beside its chunks. */
export function encodeRecord(fields: Readonly<Record<string, unknown>>): Uint8Array {
  return codec.encode([{ version: VERSION, ...fields }]);
}

/** null: damaged, or of a version that is not known. */
export function decodeRecord(bytes: Uint8Array): Readonly<Record<string, unknown>> | null {
  let value: unknown;
  try {
    [value] = codec.decode(bytes);
  } catch {
    return null;
  }
  return isObject(value) && value.version === VERSION ? value : null;
}
