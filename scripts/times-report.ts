import { readFileSync, rmSync } from 'node:fs';
import { relative } from 'node:path';
import type { ProcessTimes } from './test-times.ts';

const seconds = (ms: number) => (ms / 1_000).toFixed(1).padStart(7);

/**
 * Has each process of the tests note what it takes (`test-times.ts`). Returns what makes a table of it, those that took
 * most processor time first; it is the place to look at when `npm test` takes too long.
 */
export function noteTimes(root: string): () => string {
  const startMs = Date.now();
  const path = `${root}node_modules/.cache/times-${process.pid}`;
  process.env.OPSQUEUE_TEST_TIMES = path;
  return () => {
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    rmSync(path);
    const all = lines.map((line) => JSON.parse(line) as ProcessTimes);
    const total = (of: (times: ProcessTimes) => number) => all.reduce((sum, times) => sum + of(times), 0);
    const rows = all
      .toSorted((a, b) => cpuMs(b) - cpuMs(a))
      .map((times) => [
        seconds(cpuMs(times)),
        seconds(times.childrenCpuMs ?? 0),
        seconds(times.startMs - startMs),
        seconds(times.endMs - times.startMs),
        ` ${relative(root, times.file)}`,
      ]);
    return [
      'seconds of processor time (all, of that in processes that were started), when it began, for how long:',
      ...rows.map((row) => row.join('')),
      `${seconds(total(cpuMs))}${seconds(total((times) => times.childrenCpuMs ?? 0))} in ${all.length} processes, in ${seconds(Date.now() - startMs).trim()} s`,
    ].join('\n');
  };
}

function cpuMs({ ownCpuMs, childrenCpuMs }: ProcessTimes): number {
  return ownCpuMs + (childrenCpuMs ?? 0);
}
