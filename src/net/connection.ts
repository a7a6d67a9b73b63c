/** The server's (or client's) end of one WebSocket, as small as a session needs it, so that tests and the simulation can play the network. */
export interface FrameConnection {
  /** Sends one binary message. Writes of one turn of the event loop leave together. */
  send(bytes: Uint8Array): void;
  ping(payload: Uint8Array): void;
  pong(payload: Uint8Array): void;
  /** Ends in good order: close frame, then FIN. */
  close(code: number, reason: string): void;
  /** Ends at once. */
  terminate(): void;
  /** Reads nothing more of the peer until `resume`; its end is noticed only then. */
  pause(): void;
  resume(): void;
  /** Bytes handed over and not yet taken by the kernel. */
  readonly bufferedBytes: number;
}

/** What a connection reports to its user. Nothing follows `closed`. */
export interface FrameListener {
  message(bytes: Uint8Array): void;
  /** Anything at all arrived: a frame of any kind. Comes before `message`. */
  alive(): void;
  /** `orderly`: the peer sent a close frame. */
  closed(orderly: boolean): void;
  /** The kernel has taken what had piled up. */
  drained?(): void;
}
