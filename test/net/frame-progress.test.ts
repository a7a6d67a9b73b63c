import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameProgress } from '../../src/net/websocket/frame-progress.ts';

interface Frame {
  readonly opcode: 0 | 1 | 2 | 8 | 9 | 10;
  readonly isLast: boolean;
  readonly isMasked: boolean;
  readonly payloadBytes: number;
  readonly lengthForm: 7 | 16 | 64;
}

function bytesOf({ opcode, isLast, isMasked, payloadBytes, lengthForm }: Frame): Buffer {
  const head = Buffer.alloc(lengthForm === 7 ? 2 : lengthForm === 16 ? 4 : 10);
  head[0] = (isLast ? 0x80 : 0) | opcode;
  head[1] = (isMasked ? 0x80 : 0) | (lengthForm === 7 ? payloadBytes : lengthForm === 16 ? 126 : 127);
  if (lengthForm === 16) head.writeUInt16BE(payloadBytes, 2);
  if (lengthForm === 64) head.writeBigUInt64BE(BigInt(payloadBytes), 2);
  return Buffer.concat([head, Buffer.alloc(isMasked ? 4 : 0, 0xaa), Buffer.alloc(payloadBytes, 0xff)]);
}

const controls = fc.record({
  opcode: fc.constantFrom(8, 9, 10),
  isLast: fc.constant(true),
  isMasked: fc.boolean(),
  payloadBytes: fc.nat(125),
  lengthForm: fc.constant(7),
});
const pieces = fc
  .record({ isMasked: fc.boolean(), payloadBytes: fc.nat(300), lengthForm: fc.constantFrom(7, 16, 64) })
  .map((piece) =>
    piece.payloadBytes > 125 && piece.lengthForm === 7 ? { ...piece, lengthForm: 16 } : piece,
  );
/** A message in one or more frames, with control frames between them. */
const messages = fc
  .array(fc.tuple(pieces, fc.array(controls, { maxLength: 2 })), { minLength: 1, maxLength: 4 })
  .map((parts) =>
    parts.flatMap(([piece, between], i) => {
      const isLast = i === parts.length - 1;
      const data = { ...piece, opcode: i === 0 ? 2 : 0, isLast };
      return isLast ? [data] : [data, ...between];
    }),
  );
const streams = fc
  .array(
    fc.oneof(
      messages,
      controls.map((control) => [control]),
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((wholes) => wholes as unknown as readonly (readonly Frame[])[]);

test('between messages nothing is unfinished, within them everything is, however the bytes come', () => {
  fc.assert(
    fc.property(streams, fc.infiniteStream(fc.integer({ min: 1, max: 200 })), (wholes, steps) => {
      const ends = new Set<number>();
      const all: Buffer[] = [];
      let length = 0;
      for (const frames of wholes) {
        for (const frame of frames) {
          all.push(bytesOf(frame));
          length += all.at(-1)!.length;
        }
        ends.add(length);
      }
      const bytes = Buffer.concat(all);
      const progress = new FrameProgress();
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(bytes.length, at + (steps.next().value ?? 1));
        progress.received(bytes.subarray(at, end));
        at = end;
        assert.equal(progress.isUnfinished, !ends.has(at), `after ${at} of ${bytes.length} bytes`);
      }
      assert.equal(progress.completed, wholes.length);
    }),
    { numRuns: 500 },
  );
});
