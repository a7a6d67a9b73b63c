import type { ContractCodec } from '../../contract/contract.ts';
import { mustBe } from '../../model/check.ts';
import { isUint8Array } from '../../model/kinds.ts';
import { CODEC_KINDS, chunkCodecOf, isCodec } from '../../protocol/chunk/codec.ts';
import { type NamedCodec, namedCodecOf, type OperationCodec } from '../../protocol/chunk/codec-options.ts';
import { ChunkShapeError, describe } from '../run/results.ts';

/** The codec that is named, or one of the user's. */
export function checkCodec(value: unknown): OperationCodec {
  if (value === 'raw') return RAW;
  const named = namedCodecOf(value ?? 'cbor');
  if (named !== null) return chunkCodecOf(named);
  if (isCodec(value)) return copyingCodec(value);
  throw mustBe('codec', CODEC_KINDS, value);
}

/** A codec that another thread can have; null for an object, which it cannot. */
export function threadCodecOf(codec: ContractCodec): 'cbor' | 'json' | 'raw' | NamedCodec | null {
  return codec === 'raw' ? codec : namedCodecOf(codec);
}

/** The one operation of a chunk is its content. */
const RAW: OperationCodec = {
  encode([content, ...more]) {
    if (isUint8Array(content) && more.length === 0) return new Uint8Array(content);
    throw new ChunkShapeError(`the result is ${describe(content)} instead of a Uint8Array`);
  },
  decode: (content) => [content],
};

/** The codec, with a result of its own for each call: one of the user's may return the same buffer again and again. */
function copyingCodec(codec: OperationCodec): OperationCodec {
  return {
    encode(operations) {
      const bytes: unknown = codec.encode(operations);
      // Not `slice`, which is a view where the bytes are a Buffer.
      if (isUint8Array(bytes)) return new Uint8Array(bytes);
      throw new ChunkShapeError(`the codec returned ${describe(bytes)} instead of a Uint8Array`);
    },
    decode: (content) => codec.decode(content),
  };
}
