/** Loaded before every test file (`npm test -- --times`): notes what its process, and those that it started, took. */
import { appendFileSync, readFileSync } from 'node:fs';
import { resourceUsage } from 'node:process';
import { isMainThread } from 'node:worker_threads';

/** The kernel counts processor time in hundredths of a second. */
const TICK_MS = 10;

/** Of a process that has ended, in milliseconds. */
export interface ProcessTimes {
  readonly file: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Of the process itself, with its threads. */
  readonly ownCpuMs: number;
  /** Of the processes that it started and waited for; null: this system does not tell. */
  readonly childrenCpuMs: number | null;
}

function childrenCpuMs(): number | null {
  try {
    // After the name in parentheses, which may have any characters: cutime and cstime are the 16th and 17th field.
    const fields = readFileSync('/proc/self/stat', 'utf8').replace(/^.*\)/s, '').trim().split(' ');
    return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
  } catch {
    return null;
  }
}

const path = process.env.OPSQUEUE_TEST_TIMES;
if (isMainThread && path !== undefined) {
  process.once('exit', () => {
    const endMs = Date.now();
    const { userCPUTime, systemCPUTime } = resourceUsage();
    const times: ProcessTimes = {
      file: process.argv[1] ?? '',
      startMs: endMs - process.uptime() * 1_000,
      endMs,
      ownCpuMs: (userCPUTime + systemCPUTime) / 1_000,
      childrenCpuMs: childrenCpuMs(),
    };
    appendFileSync(path, `${JSON.stringify(times)}\n`);
  });
}
