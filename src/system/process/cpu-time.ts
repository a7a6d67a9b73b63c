/**
 * Processor time that this thread has used, in milliseconds: it stands still while the thread waits for its turn on a busy
 * machine. A runtime that does not know it gives the time of its clock.
 */
export function threadCpuMs(): number {
  if (typeof process.threadCpuUsage !== 'function') return performance.now();
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
