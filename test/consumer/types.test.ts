import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ChunkCompression,
  ConsumerClient,
  type ConsumerClientOptions,
  type ObjectCallOptions,
  type OpRunOptions,
} from '../../src/consumer/index.ts';

const compression: ChunkCompression | undefined = undefined;
const call: ObjectCallOptions = {};

/** What a program has that passes on what it was given, under `exactOptionalPropertyTypes`. */
const unsetOfClient: ConsumerClientOptions = {
  objectStoreOptions: undefined,
  logger: undefined,
  frameBytesMax: undefined,
  transfersMax: undefined,
};
const unsetOfRun: OpRunOptions = {
  strategy: undefined,
  concurrency: undefined,
  prefetch: undefined,
  memoryBytesMax: undefined,
  compression,
  signal: call.signal,
  threads: undefined,
  codec: undefined,
  onOpError: undefined,
};

test('an option that is undefined is one that was left out, in the types as well', async () => {
  await using consumer = new ConsumerClient('127.0.0.1:1', 'memory:///types', unsetOfClient);
  const calls = [
    consumer.runEachOp((op) => op, unsetOfRun),
    consumer.reserveChunks({ max: 1, signal: undefined, raw: true }),
  ];
  const rejected = calls.map((each) => assert.rejects(each, { code: 'CLIENT_CLOSED' }));
  await consumer.close();
  await Promise.all(rejected);
});
