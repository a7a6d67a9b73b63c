import { isQueueName, QUEUE_NAME_RULE } from '../../model/queue-name.ts';

/** A path without the queue that it names: what the same path would be in the unnamed one. */
export interface QueuePath {
  /** '' for a path that names none. */
  readonly queue: string;
  readonly path: string;
  /** Why there can be no such queue; null if it is named as it should be. */
  readonly problem: string | null;
}

const NAMED = /^\/q\/([^/]*)(.*)$/s;
const NAME_LENGTH_SHOWN = 80;

/**
 * The only place where the path of a queue, `/q/NAME`, and the base path are taken off a request's.
 *
 * @param basePath what paths may begin with, and need not; empty for nothing
 */
export function splitQueuePath(fullPath: string, basePath: string): QueuePath {
  const path = withoutBase(fullPath, basePath);
  const [, queue, rest] = NAMED.exec(path) ?? [];
  if (queue === undefined || rest === undefined) return { queue: '', path, problem: null };
  const problem = isQueueName(queue)
    ? null
    : `queue name ${JSON.stringify(queue.slice(0, NAME_LENGTH_SHOWN))}: expected ${QUEUE_NAME_RULE}`;
  // What follows an address that was given with a slash at its end.
  return { queue, path: rest.startsWith('//') ? rest.slice(1) : rest, problem };
}

function withoutBase(path: string, basePath: string): string {
  if (basePath === '' || !path.startsWith(basePath)) return path;
  const rest = path.slice(basePath.length);
  return rest === '' || rest.startsWith('/') ? rest : path;
}
