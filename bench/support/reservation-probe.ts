/** Reserves a chunk, completes it, and again, in a thread of its own: how long a reservation takes while others drain. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { cborStrategy, RawConsumer } from './raw-consumer.ts';
import { type Running, runInThread } from './thread.ts';

/** Between two of them, in milliseconds. */
const PAUSE_MS = 2;

/** Tells what each took, in milliseconds. */
export function startReservationProbe(
  { host, port }: { readonly host: string; readonly port: number },
  strategy: string,
): Running<number[]> {
  return runInThread(import.meta.url, { host, port, strategy });
}

async function probeUntilStopped(): Promise<void> {
  const { host, port, strategy } = workerData as { host: string; port: number; strategy: string };
  const bytes = cborStrategy(strategy);
  let isStopped = false;
  parentPort!.once('message', () => {
    isStopped = true;
  });
  const consumer = await RawConsumer.connect(host, port);
  const tookMs: number[] = [];
  while (!isStopped) {
    const began = performance.now();
    await new Promise<void>((resolve) => {
      consumer.onChunks = (chunks) => {
        tookMs.push(performance.now() - began);
        for (const chunk of chunks) consumer.complete(chunk);
        resolve();
      };
      consumer.reserve(1, bytes);
    });
    await sleep(PAUSE_MS);
  }
  consumer.close();
  parentPort!.postMessage(tookMs);
}

if (!isMainThread) await probeUntilStopped();
