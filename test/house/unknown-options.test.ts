import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ConsumerClient,
  collectGarbage,
  IncorrectUsageError,
  ProducerClient,
  startServer,
} from '../../src/index.ts';

/** Of every call: `signall` or another name that is nearly right. */
const refused = (near: string) => (error: unknown) =>
  error instanceof IncorrectUsageError &&
  /unknown option ".+": did you mean ".+"\?/.test(error.message) &&
  error.message.includes(`did you mean "${near}"?`);
/** Whether it throws at once or rejects. */
const call = async (run: () => unknown) => run();

test('startServer and collectGarbage refuse an unknown option', async () => {
  // A variable: the compiler refuses the literal.
  const server = { port: 0, database: 'x.db' };
  await assert.rejects(startServer(server), refused('databaseFilename'));
  // Parts of tests are no options.
  for (const part of ['clock', 'random']) {
    const options: object = { port: 0, store: 'memory:', [part]: {} };
    await assert.rejects(startServer(options), new RegExp(`unknown option "${part}"`));
  }
  const garbage = {
    objectStore: 'memory:///x',
    queueUrls: ['localhost:1'],
    olderThanMs: 3_600_000,
    deleted: true,
  };
  await assert.rejects(collectGarbage(garbage), refused('delete'));
});

test('every call of a producer refuses an unknown option', async () => {
  const wrong: object = { retryForMS: 1 };
  assert.throws(() => new ProducerClient('localhost:1', null, wrong), refused('retryForMs'));
  const misspelt = { objectStoreOptions: { aws_regoin: 'eu-west-1' } };
  assert.throws(() => new ProducerClient('localhost:1', 's3://b/', misspelt), refused('aws_region'));

  await using client = new ProducerClient('localhost:1', 'memory:///unknown-options');
  const options = { chunkSize: 1, signall: AbortSignal.abort() };
  const calls: readonly (() => unknown)[] = [
    () => client.runSubmission([], options),
    () => client.insertSubmission([], options),
    () => client.submit([], options),
  ];
  const submission = client.submission(1n);
  const signall = { signall: AbortSignal.abort() };
  const others: readonly ((given: object) => unknown)[] = [
    (given) => submission.results(given),
    (given) => submission.chunks(given),
    (given) => submission.done(given),
    (given) => submission.progress(given),
    (given) => submission.details(given),
    (given) => submission.cancel(given),
    (given) => submission.pause(given),
    (given) => submission.resume(given),
    (given) => submission.retryFailed(given),
    (given) => submission.failedChunks(given),
    (given) => submission.set({ deadline: null }, given),
    (given) => client.pause({ server: true }, given),
    (given) => client.resume({ server: true }, given),
    (given) => client.set({ ids: ['1'] }, { deadline: null }, given),
    (given) => client.cancel({ ids: ['1'] }, given),
    (given) => client.retry({ ids: ['1'] }, given),
    (given) => client.countSubmissions(given),
    (given) => client.submissionByPrefix('p', given),
    (given) => client.submissionsInProgress({ a: 1 }, given),
    (given) => client.endedSubmissions('failed', given),
    (given) => client.knownPrefixes(['p'], given),
    (given) => client.deleteUpload('n', given),
    (given) => client.queues(given),
    (given) => client.view('overview', {}, given),
    (given) => client.serverVersion(given),
    (given) => submission.delete(given),
  ];
  const codecs: readonly (readonly [object, string])[] = [
    [{ codec: { name: 'cbor', map: 'map' } }, 'maps'],
    [{ codec: { name: 'json', integer: 'bigint' } }, 'integers'],
  ];
  for (const [option, near] of codecs) {
    assert.throws(() => new ProducerClient('localhost:1', null, option), refused(near));
  }
  const retry: object = { retry: { delayMS: 1 } };
  assert.throws(() => client.runSubmission([], { chunkSize: 1, ...retry }), refused('delayMs'));
  for (const run of [...calls, ...others.map((other) => () => other(signall))]) {
    await assert.rejects(call(run), refused('signal'), String(run));
  }
  // No public method is missing here.
  const tested = [...calls, ...others].map((run) => /(?:client|submission)\.(\w+)/.exec(String(run))?.[1]);
  const methods = [ProducerClient.prototype, Object.getPrototypeOf(submission)].flatMap((prototype) =>
    Object.getOwnPropertyNames(prototype),
  );
  assert.deepEqual(methods.filter((name) => !tested.includes(name)).sort(), [
    'close',
    'constructor',
    'constructor',
    'stop',
    'submission',
  ]);
});

test('every call of a consumer refuses an unknown option', async () => {
  const wrong: object = { transferMax: 1 };
  assert.throws(() => new ConsumerClient('localhost:1', 'memory:///x', wrong), refused('transfersMax'));
  const misspelt = { objectStoreOptions: { endpiont: 'http://localhost:1' } };
  assert.throws(() => new ConsumerClient('localhost:1', 's3://b/', misspelt), refused('endpoint'));

  await using client = new ConsumerClient('localhost:1', 'memory:///unknown-options');
  const options: object = { concurency: 2 };
  const url = new URL('file:///work.js');
  const chunk = { submissionId: 1n, submissionPrefix: null, chunkIndex: 0 };
  for (const callback of [(input: Uint8Array) => input, url]) {
    await assert.rejects(client.runEachChunkRaw(callback, options), refused('concurrency'));
  }
  for (const callback of [() => [], url]) {
    await assert.rejects(client.runEachChunk(callback, options), refused('concurrency'));
    await assert.rejects(client.runEachOp(callback, options), refused('concurrency'));
  }
  const codec: object = { codec: { name: 'cbor', date: 'text' } };
  for (const callback of [(op: unknown) => op, url]) {
    await assert.rejects(client.runEachOp(callback, codec), refused('dates'));
  }
  const reserve: object = { signall: 1 };
  await assert.rejects(client.reserveChunks({ max: 1, ...reserve, raw: true }), refused('signal'));
  const stop: object = { grace: 1 };
  assert.throws(() => client.stop(stop), refused('graceMs'));
  const fail: object = { delayMS: 1 };
  await assert.rejects(client.failChunk(chunk, 'x', fail), refused('delayMs'));
});

test('options of the original and of other schemes are taken', async () => {
  const objectStoreOptions = { aws_imdsv1_fallback: 'true', google_bucket: 'x', AWS_REGION: 'eu-west-1' };
  await new ProducerClient('localhost:1', 'file:///tmp/', { objectStoreOptions }).close();
  await new ConsumerClient('localhost:1', 'file:///tmp/', { objectStoreOptions }).close();
});
