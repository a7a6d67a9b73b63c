import { parentPort, workerData } from 'node:worker_threads';
import { decodeClientMessage } from '../../../src/protocol/consumer/codec.ts';

// Runs as a worker thread with little heap: what a decoder makes of a message beyond its contents ends it.

parentPort?.postMessage(decodeClientMessage(workerData as Uint8Array));
