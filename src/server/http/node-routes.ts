import { CONTENT_TYPE_JSON, CONTENT_TYPE_TEXT, type HttpExchange } from '../../net/http/exchange.ts';
import type { NodesAnswer } from '../../protocol/api/nodes.ts';
import { formatNode, type NodeInfo } from '../../protocol/node.ts';
import type { EndpointName, NodeEndpoint } from './endpoints.ts';

/** What this node knows of itself. */
export interface NodeView {
  /** As seen by that queue, '' for the unnamed one: which node has the lease that it belongs to. */
  infoFor(queue: string): NodeInfo;
  /** Whether that queue is open here. */
  isOpen(queue: string): boolean;
  /** Why no node has that queue, in a sentence: the cause, since when, what to do. */
  whyNobody(queue: string): string;
  /** This one and all others that it knows of. */
  nodes(): Promise<NodesAnswer>;
}

type NodeRoute = (exchange: HttpExchange, target: { readonly queue: string }) => void | Promise<void>;

const NOT_STORED = ['cache-control', 'no-store'];

/** What any node answers itself, and never passes on. */
export function nodeRoutes(node: NodeView): Readonly<Record<NodeEndpoint, NodeRoute>> {
  return {
    node: (exchange, { queue }) => exchange.respond(200, formatNode(node.infoFor(queue)), CONTENT_TYPE_JSON),
    nodeActive(exchange, { queue }) {
      const { role } = node.infoFor(queue);
      // It may be active for other queues.
      const isActive = role === 'active' && node.isOpen(queue);
      const told = role === 'active' && !isActive ? 'standby' : role;
      exchange.respond(isActive ? 200 : 503, told, CONTENT_TYPE_TEXT);
    },
    async nodes(exchange) {
      exchange.respond(200, JSON.stringify(await node.nodes()), CONTENT_TYPE_JSON, NOT_STORED);
    },
    nodeAlive: (exchange) => exchange.respond(200, 'alive', CONTENT_TYPE_TEXT),
  };
}

export function isOfNode(name: EndpointName): name is NodeEndpoint {
  return name === 'node' || name === 'nodeActive' || name === 'nodeAlive' || name === 'nodes';
}
