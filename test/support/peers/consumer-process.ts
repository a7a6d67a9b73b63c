/** A consumer in a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Inbox } from './inbox.ts';

export interface ConsumerProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** What it reports, in order. */
  readonly said: Inbox<unknown>;
}

/** Starts a program of test/support/programs. It runs until it ends by itself, or is disposed of. */
export function consumerProcess(program: string, ...args: string[]): ConsumerProcess {
  const file = fileURLToPath(new URL(`../programs/${program}.ts`, import.meta.url));
  const child = fork(file, args, { stdio: 'inherit' });
  const said = new Inbox<unknown>();
  child.on('message', (message) => said.put(message));
  return {
    child,
    said,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    },
  };
}
