import { isIP } from 'node:net';
import type { HttpExchange } from '../../net/http/exchange.ts';
import { ForwardLinks } from '../../net/http/forward.ts';
import type { RelayAddress } from '../../net/relay/relay.ts';
import { FORWARDED_FOR_HEADER, FORWARDED_HEADER } from '../../protocol/node.ts';
import { respondElsewhere } from '../http/unavailable.ts';

export interface ForwardingOptions {
  /** The name of this node. */
  readonly node: string;
  /** Where that queue is open, as soon as it is somewhere; null: nowhere, for longer than a request may wait. */
  placeOf(queue: string, target: string): Promise<QueuePlace>;
  /** Why nobody has it, in a sentence. */
  whyNobody(queue: string): string;
}

export type QueuePlace = 'here' | RelayAddress | null;

const MOVED = 'another node has this queue by now: try again';

/**
 * Single requests for queues that are open on another node: sent on to it, and its answer comes back. They come on
 * connections that were kept (a proxy mixes those of many clients), or name their queue elsewhere than in the path.
 */
export class Forwarding {
  readonly #o: ForwardingOptions;
  readonly #links = new ForwardLinks();

  constructor(options: ForwardingOptions) {
    this.#o = options;
  }

  /**
   * @param here answers it, if the queue has come here meanwhile
   * @param body what was read of it; undefined: nothing was
   */
  async request(
    exchange: HttpExchange,
    queue: string,
    here: () => void | Promise<void>,
    body?: Uint8Array,
  ): Promise<void> {
    // Once is enough: the node that sent it on may know of a place that this one does not.
    if (wasForwarded(exchange)) {
      respondElsewhere(exchange, MOVED);
      return;
    }
    const place = await this.#o.placeOf(queue, exchange.path);
    if (place === 'here') await here();
    else if (place === null) respondElsewhere(exchange, this.#o.whyNobody(queue));
    else {
      const { remoteAddress } = exchange;
      // In the place of what the client may have said.
      const headers = [FORWARDED_HEADER, this.#o.node, FORWARDED_FOR_HEADER, remoteAddress ?? ''];
      exchange.forward({ ...place, links: this.#links, headers, body }, () =>
        respondElsewhere(exchange, this.#o.whyNobody(queue)),
      );
    }
  }

  close(): void {
    this.#links.close();
  }
}

/** Whether another node has sent it on, which is to be done once. */
export function wasForwarded(exchange: HttpExchange): boolean {
  return exchange.header(FORWARDED_HEADER) !== undefined;
}

/** Where a request was made, even if another node has sent it on; null if it is not known. */
export function callerAddress(exchange: HttpExchange): string | null {
  const told = wasForwarded(exchange) ? exchange.header(FORWARDED_FOR_HEADER) : undefined;
  return told !== undefined && isIP(told) !== 0 ? told : (exchange.remoteAddress ?? null);
}
