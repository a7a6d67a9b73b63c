import { once } from 'node:events';
import { after } from 'node:test';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { BUGS } from './bugs/bugs.ts';
import { timesOfPlaces } from './capricious.ts';
import { findBug } from './find-bug.ts';
import { simulate } from './world.ts';

/** What can be asked of the thread: arguments and answers are copied. */
const TASKS = {
  simulate,
  async findBug(name: string) {
    const bug = BUGS.find((each) => each.name === name);
    if (bug === undefined) throw new Error(`there is no bug ${name}`);
    return findBug(bug);
  },
  /** How often each rare place was reached in that thread. */
  async timesOfPlaces() {
    return new Map(timesOfPlaces);
  },
};
type Tasks = typeof TASKS;
type Answer = { readonly value: unknown } | { readonly error: unknown };

/**
 * Runs tasks one after the other in a thread, until the test file is over. Node's test runner follows every promise of the
 * thread that tests run in, which takes simulations a third of their time.
 */
export function inThread() {
  const worker = new Worker(new URL(import.meta.url));
  after(() => worker.terminate());
  const answer = async (task: string, args: readonly unknown[]) => {
    const answered = once(worker, 'message');
    worker.postMessage({ task, args });
    const [answer] = (await answered) as [Answer];
    if ('error' in answer) throw answer.error;
    return answer.value;
  };
  return <K extends keyof Tasks>(task: K, ...args: Parameters<Tasks[K]>) =>
    answer(task, args) as ReturnType<Tasks[K]>;
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  port.on('message', async ({ task, args }: { task: keyof Tasks; args: never[] }) => {
    const run = TASKS[task] as (...args: never[]) => Promise<unknown>;
    port.postMessage(
      await run(...args).then(
        (value): Answer => ({ value }),
        (error): Answer => ({ error }),
      ),
    );
  });
}
