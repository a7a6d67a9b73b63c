import type { EventEmitter } from 'node:events';
import type { ChunkIndex } from '../model/ids.ts';
import { isThenable } from '../model/kinds.ts';
import { messageOf } from '../model/thrown.ts';
import type { Logger } from '../system/log/logger.ts';

/** The events of a consumer client, and what their listeners get. */
export interface ConsumerEvents {
  /** The connection to the queue is up: for the first time or again. */
  connected: [event: ConnectedEvent];
  /** The connection broke, and the client reconnects by itself; or the client was stopped or closed. */
  disconnected: [event: DisconnectedEvent];
  /** A chunk failed: its callback threw, or its body could not be read or written. */
  chunkFailed: [event: ChunkFailedEvent];
  /**
   * The client is connected, works on nothing, and for a second the queue has had nothing for it. Once, until there is work again.
   */
  idle: [];
}

export interface ConnectedEvent {
  /** The version of the queue. */
  readonly serverVersion: string;
}

export interface DisconnectedEvent {
  /** In words. */
  readonly reason: string;
}

export interface ChunkFailedEvent {
  readonly submissionId: string;
  readonly chunkIndex: ChunkIndex;
  /** What is reported to the queue: usually a stack trace. */
  readonly failure: string;
}

/** Calls listeners. One that throws, or whose promise rejects, is logged, and hurts neither the others nor the client. */
export class Announcer {
  readonly #emitter: EventEmitter;
  readonly #logger: Logger;

  constructor(emitter: EventEmitter, logger: Logger) {
    this.#emitter = emitter;
    this.#logger = logger;
  }

  announce<Name extends keyof ConsumerEvents>(name: Name, ...args: ConsumerEvents[Name]): void {
    // With those of `once`, which remove themselves when they are called.
    for (const listener of this.#emitter.rawListeners(name)) {
      const failed = (error: unknown) =>
        this.#logger.warn({ event: name, error: messageOf(error) }, 'a listener of the consumer failed');
      try {
        const returned: unknown = listener.apply(this.#emitter, args);
        if (isThenable(returned)) Promise.resolve(returned).catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }
}
