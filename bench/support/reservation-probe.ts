/** Reserves a chunk, completes it, and again, in a thread of its own: how long a reservation takes while others drain. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { cborStrategy, RawConsumer } from './raw-consumer.ts';

/** Between two of them, in milliseconds. */
const PAUSE_MS = 2;

export interface ReservationProbe {
  /** What each took, in milliseconds. */
  stop(): Promise<number[]>;
}

export function startReservationProbe(
  { host, port }: { readonly host: string; readonly port: number },
  strategy: string,
): ReservationProbe {
  const worker = new Worker(new URL(import.meta.url), { workerData: { host, port, strategy } });
  return {
    stop: () =>
      new Promise((resolve, reject) => {
        worker.once('message', (tookMs: number[]) => resolve(tookMs));
        worker.once('error', reject);
        worker.postMessage('stop');
      }),
  };
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
