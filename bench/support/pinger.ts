/** Asks for /ping again and again, each time over a fresh connection, in a thread of its own. */
import { connect } from 'node:net';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { type Running, runInThread } from './thread.ts';

/** What a poll of a monitor waits between two pings, in milliseconds. */
const PAUSE_MS = 20;

/** Tells, after the answer to the last ping, what each took in milliseconds. */
export function startPinger(server: { readonly host: string; readonly port: number }): Running<number[]> {
  const { host, port } = server;
  return runInThread(import.meta.url, { host, port });
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
