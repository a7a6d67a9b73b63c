const FIN = 0x80;
const MASKED = 0x80;
const OPCODE = 0x0f;
/** Frames from here on are control frames: whole, and allowed between the frames of a message. */
const FIRST_CONTROL_OPCODE = 8;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const MASK_BYTES = 4;
/** The longest header: two bytes, a length of 64 bits and the mask. */
const HEADER_BYTES_MAX = 14;

/**
 * Knows from the bytes of a WebSocket alone whether a message has begun that is not complete: what reads the frames
 * tells of whole ones only. It looks at the header of each frame, and believes it: what is wrong with it is the
 * reader's business.
 */
export class FrameProgress {
  readonly #header = new Uint8Array(HEADER_BYTES_MAX);
  #headerBytes = 0;
  #payloadLeft = 0;
  /** A frame of a message was there that is not the message's last. */
  #isFragmented = false;
  #completed = 0;

  /** Whether anything is unfinished: a message, or a frame of any kind. */
  get isUnfinished(): boolean {
    return this.#headerBytes > 0 || this.#payloadLeft > 0 || this.#isFragmented;
  }

  /** Whether a frame of any kind has begun that is not complete. */
  get isInFrame(): boolean {
    return this.#headerBytes > 0 || this.#payloadLeft > 0;
  }

  /** Of a frame whose header is complete, the bytes that are not here yet. */
  get payloadLeft(): number {
    return this.#payloadLeft;
  }

  /** Messages that came to their end; a control frame between the frames of one is none. */
  get completed(): number {
    return this.#completed;
  }

  /** These bytes have arrived. */
  received(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#payloadLeft > 0) {
        const taken = Math.min(this.#payloadLeft, bytes.length - at);
        this.#payloadLeft -= taken;
        at += taken;
        if (this.#payloadLeft === 0) this.#frameEnds();
        continue;
      }
      this.#header[this.#headerBytes++] = bytes[at++]!;
      if (this.#headerBytes >= 2 && this.#headerBytes === this.#headerLength()) this.#headerEnds();
    }
  }

  #headerLength(): number {
    const second = this.#header[1]!;
    const length = second & ~MASKED;
    const extra = length === LENGTH_64 ? 8 : length === LENGTH_16 ? 2 : 0;
    return 2 + extra + ((second & MASKED) === 0 ? 0 : MASK_BYTES);
  }

  #headerEnds(): void {
    const header = this.#header;
    const length = header[1]! & ~MASKED;
    if (length < LENGTH_16) this.#payloadLeft = length;
    else {
      const extra = length === LENGTH_64 ? 8 : 2;
      let payload = 0;
      for (let i = 2; i < 2 + extra; i++) payload = payload * 256 + header[i]!;
      this.#payloadLeft = payload;
    }
    this.#headerBytes = 0;
    if (this.#payloadLeft === 0) this.#frameEnds();
  }

  /** The header's first bytes are still those of the frame. */
  #frameEnds(): void {
    const first = this.#header[0]!;
    if ((first & OPCODE) >= FIRST_CONTROL_OPCODE) {
      if (!this.#isFragmented) this.#completed++;
      return;
    }
    this.#isFragmented = (first & FIN) === 0;
    if (!this.#isFragmented) this.#completed++;
  }
}
