/** A CBOR array of byte strings and nulls. */
export function encodeDirectOutputs(outputs: readonly (Uint8Array | null)[]): Uint8Array {
  const parts: Uint8Array[] = [head(0x80, outputs.length)];
  for (const output of outputs) {
    if (output === null) parts.push(NULL);
    else parts.push(head(0x40, output.length), output);
  }
  return Buffer.concat(parts);
}

const NULL = Uint8Array.of(0xf6);

/** The major type with a length below 2^32. */
function head(majorType: number, length: number): Uint8Array {
  if (length < 24) return Uint8Array.of(majorType | length);
  if (length < 0x100) return Uint8Array.of(majorType | 24, length);
  if (length < 0x1_0000) return Uint8Array.of(majorType | 25, length >>> 8, length & 0xff);
  const bytes = new Uint8Array(5);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, majorType | 26);
  view.setUint32(1, length);
  return bytes;
}
