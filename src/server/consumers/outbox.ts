import type { FrameConnection } from '../../net/connection.ts';

/** Makes a message that needs something of the store first. null: there is nothing to send after all. */
export type LateMessage = () => Promise<Uint8Array | null>;

/** What a message that waits takes besides its bytes. */
const MESSAGE_BYTES_EXTRA = 128;

/**
 * Keeps the order of what goes to one consumer while some of it still waits for the store. Late messages are made
 * one after the other, and only while the peer takes what it is sent, so that their bytes do not pile up.
 */
export class Outbox {
  readonly #connection: FrameConnection;
  readonly #bufferedBytesMax: number;
  readonly #failed: (error: unknown) => void;
  readonly #waiting: (Uint8Array | LateMessage)[] = [];
  #bytesWaiting = 0;
  #isMaking = false;
  #isClosed = false;

  /**
   * @param bufferedBytesMax no late message is made while more than this is on its way to the peer
   * @param failed told if a late message cannot be made
   */
  constructor(connection: FrameConnection, bufferedBytesMax: number, failed: (error: unknown) => void) {
    this.#connection = connection;
    this.#bufferedBytesMax = bufferedBytesMax;
    this.#failed = failed;
  }

  /** Of messages that are made and wait for others, estimated. */
  get bytesWaiting(): number {
    return this.#bytesWaiting;
  }

  /** Nothing waits: what is sent now leaves now. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  send(message: Uint8Array): void {
    if (this.#waiting.length === 0) this.#connection.send(message);
    else {
      this.#waiting.push(message);
      this.#bytesWaiting += MESSAGE_BYTES_EXTRA + message.length;
    }
  }

  sendLate(message: LateMessage): void {
    this.#waiting.push(message);
    this.pump();
  }

  /** To be called when the peer has taken something. */
  pump(): void {
    while (!this.#isMaking && !this.#isClosed) {
      const first = this.#waiting[0];
      if (first === undefined) return;
      if (typeof first === 'function') {
        if (this.#connection.bufferedBytes <= this.#bufferedBytesMax) this.#make(first);
        return;
      }
      this.#connection.send(first);
      this.#waiting.shift();
      this.#bytesWaiting -= MESSAGE_BYTES_EXTRA + first.length;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting.length = 0;
    this.#bytesWaiting = 0;
  }

  #make(late: LateMessage): void {
    this.#isMaking = true;
    late().then(
      (message) => {
        this.#isMaking = false;
        if (this.#isClosed) return;
        this.#waiting.shift();
        if (message !== null) this.#connection.send(message);
        this.pump();
      },
      (error: unknown) => {
        this.#isMaking = false;
        this.#failed(error);
      },
    );
  }
}
