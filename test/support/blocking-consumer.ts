/** A consumer in a process of its own, whose callback blocks its thread when it gets the operation `hold`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Inbox } from './inbox.ts';

export interface ConsumerProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Waits until it says that. */
  said(what: 'begun' | 'done' | 'over'): Promise<void>;
}

/** Starts one. It runs until it is told to stop, or disposed of. */
export async function blockingConsumer(
  queueUrl: string,
  objectsUrl: string,
  holdMs: number,
): Promise<ConsumerProcess> {
  const program = fileURLToPath(new URL('./programs/blocking-consumer.ts', import.meta.url));
  const child = fork(program, [queueUrl, objectsUrl, String(holdMs)], { stdio: 'inherit' });
  const said = new Inbox<unknown>();
  child.on('message', (message) => said.put(message));
  return {
    child,
    async said(what) {
      while ((await said.take()) !== what);
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
