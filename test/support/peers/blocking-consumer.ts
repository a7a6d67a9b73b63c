/** A consumer in a process of its own, whose callback blocks its thread when it gets the operation `hold`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../temporary-folder.ts';
import { Inbox } from './inbox.ts';

export interface ConsumerProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Ends the blocking of its callback. */
  release(): void;
  /** Waits until it says that. */
  said(what: 'begun' | 'done' | 'over'): Promise<void>;
}

/** Starts one. It runs until it is told to stop, or disposed of. */
export async function blockingConsumer(queueUrl: string, objectsUrl: string): Promise<ConsumerProcess> {
  const folder = await temporaryFolder();
  // Nothing else reaches a thread that is blocked.
  const until = join(folder.path, 'released');
  const program = fileURLToPath(new URL('../programs/blocking-consumer.ts', import.meta.url));
  const child = fork(program, [queueUrl, objectsUrl, until], { stdio: 'inherit' });
  const said = new Inbox<unknown>();
  child.on('message', (message) => said.put(message));
  return {
    child,
    release: () => writeFileSync(until, ''),
    async said(what) {
      while ((await said.take()) !== what);
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      await folder[Symbol.asyncDispose]();
    },
  };
}
