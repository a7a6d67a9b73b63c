/** The field of a conflict, from the real queue to the error. A ProducerClient makes a new prefix for every insert: its API is used here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseQueueAddresses } from '../../../src/net/address/queue-addresses.ts';
import { HttpClient } from '../../../src/net/http/client.ts';
import { SubmissionConflictError } from '../../../src/producer/index.ts';
import { QueueApi, type SubmissionToInsert } from '../../../src/producer/queue-api.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { systemRandom } from '../../../src/system/random.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { scriptedHttp } from '../../support/fakes/scripted-http.ts';
import { TestServer } from '../../support/queues/test-server.ts';

function apiOf(url: string): QueueApi & Disposable {
  const world = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const http = new HttpClient({ queue: parseQueueAddresses(url), retryForMs: 0, ...world });
  return Object.assign(new QueueApi({ http, clock: systemClock, requestTimeoutMs: 10_000 }), {
    [Symbol.dispose]: () => http.close(),
  });
}

const CARGO = {
  metadata: Uint8Array.of(1),
  strategicMetadata: new Map([['k', 1n]]),
  chunkSizeOps: 3,
  retryDelayMs: 0,
  retry: null,
  failureMode: 'fail' as const,
  headers: {},
};
const STORED: SubmissionToInsert = {
  ...CARGO,
  contents: { kind: 'object_storage', prefix: 'count', count: 2 },
  idempotencyKey: null,
};
const DIRECT: SubmissionToInsert = {
  ...CARGO,
  contents: { kind: 'direct', contents: [Uint8Array.of(1)] },
  idempotencyKey: 'the-key',
};

const conflictOn = (field: string | null) => (error: unknown) => {
  assert.ok(error instanceof SubmissionConflictError);
  assert.equal(error.field, field);
  return true;
};

test('a conflict names the field that differs, whatever it is', async () => {
  await using queue = await TestServer.start();
  using api = apiOf(`localhost:${queue.port}`);
  const differences: readonly (readonly [string, Partial<SubmissionToInsert>])[] = [
    ['chunk_size', { chunkSizeOps: 4 }],
    ['metadata', { metadata: null }],
    ['strategic_metadata', { strategicMetadata: new Map() }],
  ];
  for (const base of [STORED, DIRECT]) {
    const id = await api.insert(base);
    assert.equal(await api.insert(base), id);
    for (const [field, difference] of differences) {
      await assert.rejects(api.insert({ ...base, ...difference }), conflictOn(field));
    }
  }
  const more = { kind: 'object_storage', prefix: 'count', count: 3 } as const;
  await assert.rejects(api.insert({ ...STORED, contents: more }), conflictOn('count'));
  const longer = { kind: 'direct', contents: [Uint8Array.of(1), null] } as const;
  await assert.rejects(api.insert({ ...DIRECT, contents: longer }), conflictOn('count'));
  const others = { kind: 'direct', contents: [Uint8Array.of(2)] } as const;
  await assert.rejects(api.insert({ ...DIRECT, contents: others }), conflictOn('contents'));
});

test('only clients of ours get the header; a queue without it leaves the field open', async () => {
  await using queue = await TestServer.start();
  const body = (count: number) => `{"chunk_contents":{"SeeObjectStorage":{"prefix":"p","count":${count}}}}`;
  await queue.post('/producer/submissions', body(1));
  const old = await queue.post('/producer/submissions', body(2));
  assert.equal(old.status, 409);
  assert.ok(!('opsqueue-conflict' in Object.fromEntries(old.headers)));
  await using other = await scriptedHttp(() => ({
    status: 409,
    body: 'the prefix "this" was inserted before',
  }));
  using api = apiOf(other.url);
  await assert.rejects(api.insert(STORED), conflictOn(null));
});
