import { parentPort, workerData } from 'node:worker_threads';
import { isArrayBuffer, isPromise, isUint8Array } from '../../../model/kinds.ts';
import { Database } from '../database.ts';
import { openDatabase } from '../file/open.ts';
import type { ImportReport } from '../import/report.ts';
import { toStoreError } from '../sqlite-errors.ts';
import type { ThreadOptions, ThreadRequest, ThreadResponse } from './protocol.ts';

/** The database's thread: no fsync and no checkpoint holds up the event loop that answers heartbeats. */
function main(): void {
  const port = parentPort;
  if (!port) throw new Error('this module is the start of a worker thread');
  const answer = (response: ThreadResponse, transfer: ArrayBuffer[] = []) =>
    port.postMessage(response, transfer);
  const fail = (number: number, error: unknown, doing: string) => {
    const { storeClass, message } = toStoreError(error, doing);
    answer({ number, error: { storeClass, message } });
  };

  let database: Database;
  let imported: ImportReport | null = null;
  try {
    const { location, nowMs } = workerData as ThreadOptions;
    const open = openDatabase(location, nowMs);
    imported = open.imported;
    database = new Database(open);
  } catch (error) {
    fail(0, error, 'the database cannot be opened');
    return;
  }
  port.on('message', async ({ number, method, arguments: given }: ThreadRequest) => {
    try {
      // The other side's types hold arguments and method together.
      const run = database[method] as (...given: readonly unknown[]) => unknown;
      const result = run.apply(database, [...given]);
      const value = isPromise(result) ? await result : result;
      answer({ number, value }, buffersOf(value));
    } catch (error) {
      fail(number, error, `the database failed in ${method}`);
    }
    if (method === 'close') port.close();
  });
  answer({ number: 0, value: imported });
}

/** Buffers at the first level of a result move instead of being copied. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (typeof value !== 'object' || value === null) return [];
  const buffers: ArrayBuffer[] = [];
  for (const part of Object.values(value)) {
    if (!isUint8Array(part) || !isArrayBuffer(part.buffer)) continue;
    // A view of a larger buffer is cloned: others may be looking at the rest.
    if (part.length === part.buffer.byteLength || part.length > 4096) buffers.push(part.buffer);
  }
  return buffers;
}

main();
