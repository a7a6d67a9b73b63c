import type { OutgoingMessage } from '../../net/websocket/client.ts';
import type { InitMessage, Nonce } from '../../protocol/consumer/types.ts';

/** The connection to the queue, as far as the transport needs it. */
export interface QueueLink {
  /** What the server said first; null while there is no connection. */
  readonly init: InitMessage | null;
  /** null: there is no connection. */
  send(message: OutgoingMessage): Nonce | null;
  reconnect(reason: string): void;
}
