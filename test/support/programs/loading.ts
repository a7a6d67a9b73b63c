/** The module of a callback that tells the test by a broadcast that it is being loaded, and never is. */
import { BroadcastChannel } from 'node:worker_threads';

new BroadcastChannel('opsqueue-test-loading').postMessage('loading');
await new Promise(() => setInterval(() => {}, 1_000_000));

export default (op: unknown) => op;
