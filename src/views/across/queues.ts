import type { QueueInfo, QueuePause } from '../../model/queue-info.ts';

/** The queues of all nodes, by name. A queue is in use on one of them; each knows of the unnamed one, and of pauses. */
export function mergeQueues(parts: readonly (readonly QueueInfo[])[]): QueueInfo[] {
  const queues = new Map<string, QueueInfo>();
  for (const queue of parts.flat()) {
    const known = queues.get(queue.name);
    queues.set(queue.name, known === undefined ? queue : both(known, queue));
  }
  return [...queues.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function both(a: QueueInfo, b: QueueInfo): QueueInfo {
  return {
    name: a.name,
    submissionsOpen: a.submissionsOpen + b.submissionsOpen,
    chunksWaiting: a.chunksWaiting + b.chunksWaiting,
    chunksReserved: a.chunksReserved + b.chunksReserved,
    chunksDelayed: a.chunksDelayed + b.chunksDelayed,
    chunksPaused: a.chunksPaused + b.chunksPaused,
    consumers: a.consumers + b.consumers,
    pauses: pausesOf([...a.pauses, ...b.pauses]),
  };
}

function pausesOf(pauses: readonly QueuePause[]): QueuePause[] {
  const known = new Map(
    pauses.map((pause) => [`${pause.of} ${pause.cause} ${pause.sinceMs} ${pause.by}`, pause]),
  );
  return [...known.values()];
}
