import { Worker } from 'node:worker_threads';

/** What goes on in a thread of its own until it is told to stop. */
export interface Running<Result> {
  /** Resolves with what the thread has to tell. */
  stop(): Promise<Result>;
}

/** Runs a module in a thread; it ends, and posts its result, after the message that it gets. */
export function runInThread<Result>(module: string, workerData: object): Running<Result> {
  const worker = new Worker(new URL(module), { workerData });
  return {
    stop: () =>
      new Promise((resolve, reject) => {
        worker.once('message', (result: Result) => resolve(result));
        worker.once('error', reject);
        worker.postMessage('stop');
      }),
  };
}
