/** A callback for pools of threads: doubles numbers; a text says what else to do. */
import { threadId } from 'node:worker_threads';
import { NonRetryableError } from '../../../src/model/errors.ts';

export default async function double(
  op: number | string,
  { signal }: { readonly signal: AbortSignal },
): Promise<unknown> {
  if (typeof op === 'number') return op * 2;
  if (op === 'thread') return threadId;
  if (op === 'die') process.exit(3);
  if (op === 'never') throw new NonRetryableError('not in this life');
  if (op === 'wait') {
    const channel = new BroadcastChannel('opsqueue-test-waiting');
    channel.postMessage('waiting');
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    const { code, reason } = signal.reason;
    channel.postMessage({ code, reason });
    channel.close();
    throw new Error('the signal fired');
  }
  throw new TypeError(`what is ${op}?`);
}
