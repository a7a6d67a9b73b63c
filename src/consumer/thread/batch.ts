import type { Transferable } from 'node:worker_threads';
import { isArrayBuffer } from '../../model/kinds.ts';
import { oncePerTurn, type TurnClock } from '../../system/end-of-turn.ts';

/** Smaller ones are cheaper to copy than to transfer. */
const TRANSFER_BYTES_MIN = 4 * 1024;

/** Collects what is to be posted to the other thread: one message per turn of the event loop, buffers transferred. */
export class Batch<T> {
  readonly #flushSoon: () => void;
  readonly #post: (items: readonly T[], transfer: Transferable[]) => void;
  readonly #bodies: (item: T) => readonly (Uint8Array | null)[];
  #items: T[] = [];

  constructor(
    clock: TurnClock,
    bodies: (item: T) => readonly (Uint8Array | null)[],
    post: (items: readonly T[], transfer: Transferable[]) => void,
  ) {
    this.#flushSoon = oncePerTurn(clock, () => this.flush());
    this.#bodies = bodies;
    this.#post = post;
  }

  add(item: T): void {
    this.#items.push(item);
    this.#flushSoon();
  }

  /** Posts now what there is. */
  flush(): void {
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    const transfer = new Set<Transferable>();
    for (const item of items) for (const body of this.#bodies(item)) addTransferable(transfer, body);
    this.#post(items, [...transfer]);
  }
}

/** A body that owns its buffer is moved; a view of a larger one (Node's pool, a frame) is copied by the post. */
function addTransferable(transfer: Set<Transferable>, body: Uint8Array | null): void {
  if (body === null || body.byteLength < TRANSFER_BYTES_MIN) return;
  const { buffer } = body;
  if (isArrayBuffer(buffer) && buffer.byteLength === body.byteLength) transfer.add(buffer);
}
