/** Preloaded by a server to measure (`--expose-gc`): on SIGUSR2 it collects garbage and writes down what is left. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const POLL_MS = 10;
const URL_OF_THIS = pathToFileURL(import.meta.filename).href;

/** Flags of Node.js for a process that is to be asked. */
export const MEMORY_REPORT_FLAGS = ['--expose-gc', '--import', URL_OF_THIS];

const fileOf = (pid: number) => join(tmpdir(), `opsqueue-bench-memory-${pid}.json`);

/** Octets that are in use in its heap and outside of it, after a collection. */
export async function usedBytes(pid: number): Promise<number> {
  const file = fileOf(pid);
  process.kill(pid, 'SIGUSR2');
  for (;;) {
    try {
      const { heapUsed, external } = JSON.parse(readFileSync(file, 'utf8')) as NodeJS.MemoryUsage;
      rmSync(file);
      return heapUsed + external;
    } catch {
      await sleep(POLL_MS);
    }
  }
}

if (isMainThread && process.execArgv.includes(URL_OF_THIS)) {
  process.on('SIGUSR2', () => {
    globalThis.gc?.();
    globalThis.gc?.();
    const file = fileOf(process.pid);
    writeFileSync(`${file}.new`, JSON.stringify(process.memoryUsage()));
    renameSync(`${file}.new`, file);
  });
}
