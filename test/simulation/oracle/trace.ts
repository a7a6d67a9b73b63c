import type { ClientMessage, ServerMessage } from '../../../src/protocol/consumer/types.ts';
import { key } from '../work.ts';

const TRACE_MAX = 60;

/** What happened last, for the report of a failure. */
export class Trace {
  readonly #notes: (string | (() => string))[] = [];

  /** @param what a function where it happens often: only a failure needs the words */
  note(what: string | (() => string)): void {
    if (this.#notes.push(what) > TRACE_MAX) this.#notes.shift();
  }

  get lines(): readonly string[] {
    return this.#notes.map((what) => (typeof what === 'string' ? what : what()));
  }
}

export function describe(message: ClientMessage | ServerMessage): string {
  switch (message.kind) {
    case 'reserved':
      return `reserved ${message.chunks.map(({ chunk }) => key(chunk)).join(' ')}`;
    case 'release':
    case 'extend':
      return `${message.kind} ${message.chunks.map(key).join(' ')}`;
    case 'complete':
    case 'fail':
    case 'expired':
    case 'dropped':
      return `${message.kind} ${key(message.chunk)}`;
    default:
      return message.kind;
  }
}
