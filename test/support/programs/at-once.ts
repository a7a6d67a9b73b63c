/** A callback for pools of threads: no call returns before ten have been in progress at once in its thread. */
import { threadId } from 'node:worker_threads';

const tenAtOnce = Promise.withResolvers<void>();
let running = 0;
let most = 0;

export default async function atOnce(op: number | string): Promise<unknown> {
  if (op === 'never') return new Promise(() => {});
  if (op === 'quick') return { threadId };
  most = Math.max(most, ++running);
  if (running === 10) tenAtOnce.resolve();
  await tenAtOnce.promise;
  running--;
  return { op, most };
}
