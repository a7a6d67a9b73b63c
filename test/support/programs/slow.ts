/** A callback for pools of threads: takes `ms` for the operation `{ ms, value }`, blocking its thread. */
export default function slow({ ms, value }: { readonly ms: number; readonly value: number }): number {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  return value * 10;
}
