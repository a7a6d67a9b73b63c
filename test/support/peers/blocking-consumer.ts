/** A consumer in a process of its own, whose callback blocks its thread when it gets the operation `hold`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../temporary-folder.ts';
import { type ConsumerProcess, consumerProcess } from './consumer-process.ts';

export interface BlockingConsumer extends AsyncDisposable {
  readonly child: ConsumerProcess['child'];
  /** Ends the blocking of its callback. */
  release(): void;
  /** Waits until it says that. */
  said(what: 'begun' | 'done' | 'over'): Promise<void>;
}

/** Starts one. It runs until it is told to stop, or disposed of. */
export async function blockingConsumer(queueUrl: string, objectsUrl: string): Promise<BlockingConsumer> {
  const folder = await temporaryFolder();
  // Nothing else reaches a thread that is blocked.
  const until = join(folder.path, 'released');
  const consumer = consumerProcess('blocking-consumer', queueUrl, objectsUrl, until);
  return {
    child: consumer.child,
    release: () => writeFileSync(until, ''),
    async said(what) {
      while ((await consumer.said.take()) !== what);
    },
    async [Symbol.asyncDispose]() {
      await consumer[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}
