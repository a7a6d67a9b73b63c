import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { compressChunk, decompressChunk, isCompressedChunk } from '../../src/protocol/chunk/compression.ts';
import { ChunkUndecodableError } from '../../src/protocol/chunk/errors.ts';

const content = new TextEncoder().encode('some operation, '.repeat(1000));
/** So large that another thread packs and unpacks it. */
const large = randomBytes(300_000);

test('unpacks what it packed, empty chunks too', async () => {
  for (const chunk of [content, large, new Uint8Array(0)]) {
    const packed = await compressChunk(chunk);
    assert.equal(isCompressedChunk(packed), true);
    assert.deepEqual(Buffer.from(await decompressChunk(packed)), Buffer.from(chunk));
  }
  assert.ok((await compressChunk(content)).length < content.length / 10);
});

test('writes what any zstd reader takes: a skippable frame and an ordinary one', async () => {
  const packed = await compressChunk(content);
  const view = new DataView(packed.buffer, packed.byteOffset);
  assert.equal(view.getUint32(0, true), 0x184d2a50);
  const skipped = view.getUint32(4, true);
  assert.deepEqual(zstdDecompressSync(packed.subarray(8 + skipped)), Buffer.from(content));
});

test('takes zstd frames of every kind', async () => {
  const mark = (await compressChunk(content)).subarray(0, 16);
  const { ZSTD_c_checksumFlag: checksum, ZSTD_c_contentSizeFlag: size, ZSTD_c_windowLog: log } = constants;
  for (const body of [content, large, new Uint8Array(0), new Uint8Array(400_000), Uint8Array.of(1)]) {
    for (const params of [{}, { [checksum]: 1 }, { [size]: 0 }, { [log]: 10, [checksum]: 1 }]) {
      for (const pledgedSrcSize of [undefined, body.length]) {
        const frame = zstdCompressSync(body, { params, ...(pledgedSrcSize ? { pledgedSrcSize } : {}) });
        const chunk = Buffer.concat([mark, frame]);
        assert.deepEqual(Buffer.from(await decompressChunk(chunk)), Buffer.from(body));
        await assert.rejects(decompressChunk(chunk.subarray(0, -1)), ChunkUndecodableError);
      }
    }
  }
});

test('does not take other chunks for its own, foreign zstd included', async () => {
  const packed = await compressChunk(content);
  assert.equal(isCompressedChunk(content), false);
  assert.equal(isCompressedChunk(new Uint8Array(0)), false);
  assert.equal(isCompressedChunk(packed.subarray(16)), false);
});

test('refuses a truncated, a damaged and an overlong chunk', async () => {
  const packed = await compressChunk(content);
  for (let length = packed.length - 1; length > 16; length--) {
    await assert.rejects(decompressChunk(packed.subarray(0, length)), ChunkUndecodableError);
  }
  await assert.rejects(decompressChunk(Buffer.concat([packed, packed])), ChunkUndecodableError);
  const damaged = packed.slice();
  damaged[packed.length - 1]! ^= 1;
  await assert.rejects(decompressChunk(damaged));
  await assert.rejects(decompressChunk(packed, content.length - 1), /larger|length/i);
});

test('leaves its thread free while a few bytes unpack to a lot', async () => {
  const body = new Uint8Array(64 * 1024 * 1024);
  const packed = await compressChunk(body);
  assert.ok(packed.length < 16 * 1024);
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  assert.equal((await decompressChunk(packed)).length, body.length);
  assert.ok(turned);
  await assert.rejects(decompressChunk(packed, body.length - 1), /larger|length/i);
});
