import { byteContentSize, CborWriter, HEAD_BYTES_MAX } from '../cbor/writer.ts';

/** A CBOR array of byte strings and nulls. */
export function encodeDirectOutputs(outputs: readonly (Uint8Array | null)[]): Uint8Array {
  let bytesMax = HEAD_BYTES_MAX;
  for (const output of outputs) bytesMax += byteContentSize(output, true);
  const writer = new CborWriter(bytesMax);
  writer.array(outputs.length);
  for (const output of outputs) writer.byteContent(output, true);
  return writer.finish();
}
