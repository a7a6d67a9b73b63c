import type { ShardId } from '../model/ids.ts';
import { ENDPOINTS } from './http/endpoints.ts';
import { splitQueuePath } from './http/queue-path.ts';
import type { Whose } from './passing.ts';

/** What any node that has a shard can answer, if no queue is named. */
const OF_ANY = [
  ENDPOINTS.page.path,
  '/assets/',
  '/api/',
  ENDPOINTS.producerVersion.path,
  ENDPOINTS.version.path,
] as const;

/** What clients wait for, also for longer than it takes to move a queue from one node to the next. */
const OF_CLIENTS = ['/producer/submissions', ENDPOINTS.consumer.path] as const;

/** Whether a request to that path waits for a node that has its queue for as long as a lease lasts: people and probes do not. */
export function isPatient(target: string, basePath: string): boolean {
  const { path } = splitQueuePath(target.replace(/\?.*$/s, ''), basePath);
  return OF_CLIENTS.some((each) => path.startsWith(each));
}

/** Who is to answer a request for that path and query. */
export function whoseIs(target: string, basePath: string, shardOf: (queue: string) => ShardId): Whose {
  const { queue, path } = splitQueuePath(target.replace(/\?.*$/s, ''), basePath);
  const { metrics, node, nodes } = ENDPOINTS;
  if (path === metrics.path || path === nodes.path || path === node.path || path.startsWith(`${node.path}/`))
    return 'here';
  const isOfAny = OF_ANY.some((each) => (each === '/' ? path === each : path.startsWith(each)));
  return queue === '' && isOfAny ? 'any' : shardOf(queue);
}
