import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { compressChunk, decompressChunk, isCompressedChunk } from '../../src/protocol/chunk-compression.ts';

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

test('writes what any zstd reader takes', async () => {
  assert.deepEqual(zstdDecompressSync(await compressChunk(content)), Buffer.from(content));
});

test('does not take other chunks for its own, zstd of somebody else included', async () => {
  const packed = await compressChunk(content);
  assert.equal(isCompressedChunk(content), false);
  assert.equal(isCompressedChunk(new Uint8Array(0)), false);
  assert.equal(isCompressedChunk(packed.subarray(16)), false);
});

test('refuses a truncated, a damaged and an overlong chunk', async () => {
  const packed = await compressChunk(content);
  await assert.rejects(decompressChunk(packed.subarray(0, -1)));
  const damaged = packed.slice();
  damaged[packed.length - 1]! ^= 1;
  await assert.rejects(decompressChunk(damaged));
  await assert.rejects(decompressChunk(packed, content.length - 1), /larger|length/i);
});
