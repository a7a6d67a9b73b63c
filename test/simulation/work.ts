import type { ChunkId } from '../../src/model/ids.ts';

/** What a producer told of its submission when it inserted it. */
export interface Told {
  readonly queue: string;
  /** The prefix, or the idempotency key of a direct one. */
  readonly name: string;
  readonly chunks: number;
  readonly isDirect: boolean;
}

/** What a direct submission has for a chunk. */
export function inputOf({ name }: Told, chunkIndex: number): Uint8Array {
  return Buffer.from(`${name}/${chunkIndex}`);
}

/** What a consumer makes of it: something else each time, so that one output is told from another. */
export function outputOf(input: Uint8Array, attempt: string): Uint8Array {
  return Buffer.concat([input, Buffer.from(` by ${attempt}`)]);
}

export function isOutputOf(output: Uint8Array, input: Uint8Array): boolean {
  return Buffer.from(output)
    .toString()
    .startsWith(`${Buffer.from(input)} by `);
}

export function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
}

export function key({ submissionId, chunkIndex }: ChunkId): string {
  return `${submissionId}/${chunkIndex}`;
}
