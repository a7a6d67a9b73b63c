import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { decodeClientMessage } from '../../src/protocol/consumer/codec.ts';
import type { ClientMessage } from '../../src/protocol/consumer/types.ts';

const OPEN_BYTES = 0x5f;
const OPEN_TEXT = 0x7f;
const OPEN_ARRAY = 0x9f;
const BREAK = 0xff;
const HEAP_MB = 24;
const PIECES = 2_000_000;
const DECODER = new URL('../support/protocol/small-heap-decoder.ts', import.meta.url);

const text = (name: string) => Buffer.from([0x60 + name.length, ...Buffer.from(name)]);
const ID = Buffer.from([0xa2, ...text('submission_id'), 5, ...text('chunk_index'), 7]);

/** A completion of chunk 7 of submission 5, with this output and a field that nobody knows. */
function completion(output: Uint8Array, unknown: Uint8Array = Uint8Array.of(0xf6)): Buffer {
  const id = Buffer.from([...text('id'), ...ID]);
  return Buffer.concat([
    Buffer.from([0xa2, ...text('nonce'), 0, ...text('contents'), 0xa1]),
    Buffer.from([0x6d, ...Buffer.from('CompleteChunk'), 0xa3]),
    id,
    Buffer.from([0x67, ...Buffer.from('unknown')]),
    unknown,
    Buffer.from([0x6e, ...Buffer.from('output_content')]),
    output,
  ]);
}

function failure(failureText: Uint8Array): Buffer {
  return Buffer.concat([
    Buffer.from([0xa2, ...text('nonce'), 0, ...text('contents'), 0xa1, ...text('FailChunk'), 0xa2]),
    Buffer.from([...text('id'), ...ID, ...text('failure')]),
    failureText,
  ]);
}

function open(first: number, content: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(first), content, Uint8Array.of(BREAK)]);
}

/** Decodes where the heap has no room for an object for each piece. */
async function decodedInSmallHeap(message: Uint8Array): Promise<ClientMessage> {
  const worker = new Worker(DECODER, {
    workerData: message,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 4 },
  });
  const [decoded] = (await once(worker, 'message')) as [ClientMessage];
  return decoded;
}

const output = (message: ClientMessage) => (message.kind === 'complete' ? message.outputContent : null);

test('millions of pieces take no more memory than their bytes, also where nobody wants them', async () => {
  const emptyPieces = open(OPEN_BYTES, Buffer.alloc(PIECES, 0x40));
  assert.deepEqual(output(await decodedInSmallHeap(completion(emptyPieces))), new Uint8Array(0));
  assert.deepEqual(
    output(await decodedInSmallHeap(completion(Uint8Array.of(0x40), emptyPieces))),
    new Uint8Array(0),
  );
  const failed = await decodedInSmallHeap(failure(open(OPEN_TEXT, Buffer.alloc(PIECES, 0x60))));
  assert.equal(failed.kind === 'fail' && failed.failure, '');
});

test('an array of bytes of open length takes no more memory than a few times its bytes', async () => {
  const content = output(
    await decodedInSmallHeap(completion(open(OPEN_ARRAY, Buffer.alloc(3 * PIECES, 0x07)))),
  );
  assert.equal(content?.length, 3 * PIECES);
  assert.ok(content.every((byte) => byte === 7));
});

test('pieces of every length are put together in order, tags and long heads and all', () => {
  const whole = Buffer.from(Array.from({ length: 2000 }, (_, i) => i * 7));
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const length of [0, 1, 23, 24, 31, 32, 33, 100, 255, 256, 1000]) {
    pieces.push(Uint8Array.of(0xc1, 0x59, length >>> 8, length & 0xff), whole.subarray(at, at + length));
    at += length;
  }
  const decoded = decodeClientMessage(completion(open(OPEN_BYTES, Buffer.concat(pieces))));
  assert.deepEqual(output(decoded), new Uint8Array(whole.subarray(0, at)));
});
