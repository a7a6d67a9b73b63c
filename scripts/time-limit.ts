/**
 * Loaded before every test file (`npm test`): ends its process, and all that it started, when no test of it has begun for
 * `OPSQUEUE_TEST_SECONDS` (default 180), however many it has: a slow machine may take longer for all of them. The runner's
 * own `--test-timeout` is for single tests: a file whose tests are over and whose sockets are not, or that never leaves a
 * loop, would hang for ever.
 */
import { execFileSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const SECONDS_DEFAULT = 180;

/** Every process below one, the farthest first. None where there is no `ps`. */
function descendants(pid: number): number[] {
  let table: string;
  try {
    table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  } catch {
    return [];
  }
  const pairs = table
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const below = (parent: number): number[] =>
    pairs.filter(([, ppid]) => ppid === parent).flatMap(([child = 0]) => [...below(child), child]);
  return below(pid);
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/**
 * Calls `over`, with the place told last, when for `ms` no place has been told. Returns what tells of one.
 *
 * @param after calls back after that many milliseconds, unless what it returns is called
 */
export function limitOf(
  ms: number,
  after: (ms: number, fire: () => void) => () => void,
  over: (place: string) => void,
): (place: string) => void {
  let cancel = () => {};
  return (place) => {
    cancel();
    cancel = after(ms, () => over(place));
  };
}

function afterTimeout(ms: number, fire: () => void): () => void {
  const timer = setTimeout(fire, ms);
  return () => clearTimeout(timer);
}

let watch: Worker | null = null;

/** A test begins, from where its time counts; what the message says of where it ran out, besides the file. */
export function nowRunning(where: string): void {
  watch?.postMessage(where);
}

if (isMainThread) {
  const seconds = Number(process.env.OPSQUEUE_TEST_SECONDS ?? SECONDS_DEFAULT);
  // A thread: whatever the test does to its own, the time is over when it is.
  watch = new Worker(new URL(import.meta.url), {
    workerData: { timeLimit: { file: process.argv[1] ?? '', seconds } },
    execArgv: [],
    stdin: true,
  });
  watch.unref();
} else if (typeof workerData === 'object' && workerData !== null && 'timeLimit' in workerData) {
  const { file, seconds } = workerData.timeLimit;
  const begin = limitOf(seconds * 1000, afterTimeout, (place) => {
    writeSync(2, `${place}: no test began for ${seconds} s, ended (OPSQUEUE_TEST_SECONDS)\n`);
    for (const pid of descendants(process.pid)) end(pid);
    end(process.pid);
  });
  begin(file);
  parentPort?.on('message', (where: string) => begin(`${file}, ${where}`));
}
