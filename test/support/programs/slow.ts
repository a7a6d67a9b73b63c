/**
 * A callback for pools of threads: takes `ms` for the operation `{ ms, value }`, blocking its thread. Says on the channel
 * `slow` that it has begun.
 */
export default function slow({ ms, value }: { readonly ms: number; readonly value: number }): number {
  if (ms > 0) {
    const channel = new BroadcastChannel('slow');
    channel.postMessage('begun');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    channel.close();
  }
  return value * 10;
}
