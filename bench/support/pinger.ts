/** Asks for /ping again and again, each time over a fresh connection, in a thread of its own. */
import { connect } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** What a poll of a monitor waits between two pings, in milliseconds. */
const PAUSE_MS = 20;

export interface Pinger {
  /** Resolves, after the answer to the last ping, with what each took in milliseconds. */
  stop(): Promise<number[]>;
}

export function startPinger(server: { readonly host: string; readonly port: number }): Pinger {
  const { host, port } = server;
  const worker = new Worker(new URL(import.meta.url), { workerData: { host, port } });
  return {
    stop: () =>
      new Promise((resolve, reject) => {
        worker.once('message', (tookMs: number[]) => resolve(tookMs));
        worker.once('error', reject);
        worker.postMessage('stop');
      }),
  };
}

function ping(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const socket = connect({ host, port }, () =>
      socket.write(`GET /ping HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`),
    );
    socket.once('data', () => {
      socket.destroy();
      resolve(performance.now() - began);
    });
    socket.once('error', reject);
  });
}

async function pingUntilStopped(): Promise<void> {
  const { host, port } = workerData as { host: string; port: number };
  let isStopped = false;
  parentPort!.once('message', () => {
    isStopped = true;
  });
  const tookMs: number[] = [];
  while (!isStopped) {
    tookMs.push(await ping(host, port));
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  parentPort!.postMessage(tookMs);
}

if (!isMainThread) await pingUntilStopped();
