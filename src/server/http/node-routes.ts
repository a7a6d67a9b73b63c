import { CONTENT_TYPE_JSON, CONTENT_TYPE_TEXT, type HttpExchange } from '../../net/http/exchange.ts';
import { formatNode, type NodeInfo } from '../../protocol/node.ts';
import { ENDPOINTS, type EndpointName, type NodeEndpoint } from './endpoints.ts';
import { splitQueuePath } from './queue-path.ts';

/** What this node knows of itself. */
export interface NodeView {
  readonly info: NodeInfo;
}

/** What any node answers itself, and never passes on. */
export function nodeRoutes(node: NodeView): Readonly<Record<NodeEndpoint, (exchange: HttpExchange) => void>> {
  return {
    node: (exchange) => exchange.respond(200, formatNode(node.info), CONTENT_TYPE_JSON),
    nodeActive(exchange) {
      const { role } = node.info;
      exchange.respond(role === 'active' ? 200 : 503, role, CONTENT_TYPE_TEXT);
    },
    nodeAlive: (exchange) => exchange.respond(200, 'alive', CONTENT_TYPE_TEXT),
  };
}

/** Whether a request for that path is for this node itself, whoever is active. */
export function isNodePath(target: string, basePath: string): boolean {
  const { path } = splitQueuePath(target.replace(/\?.*$/s, ''), basePath);
  return (
    path === ENDPOINTS.metrics.path ||
    path === ENDPOINTS.node.path ||
    path.startsWith(`${ENDPOINTS.node.path}/`)
  );
}

export function isOfNode(name: EndpointName): name is NodeEndpoint {
  return name === 'node' || name === 'nodeActive' || name === 'nodeAlive';
}
