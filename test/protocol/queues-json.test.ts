import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueInfo } from '../../src/model/queue-info.ts';
import { formatQueues, parseQueues } from '../../src/protocol/producer/queues.ts';

const queues: readonly QueueInfo[] = [
  {
    name: '',
    submissionsOpen: 0,
    chunksWaiting: 0,
    chunksReserved: 0,
    chunksDelayed: 0,
    chunksPaused: 0,
    consumers: 3,
    pauses: [],
  },
  {
    name: 'images',
    submissionsOpen: 1,
    chunksWaiting: 2 ** 32,
    chunksReserved: 2,
    chunksDelayed: 3,
    chunksPaused: 4,
    consumers: 0,
    pauses: [{ of: 'queue', cause: 'manual', by: 'ann@host', reason: null, sinceMs: 1_000 }],
  },
];

test('a list of queues comes back as it was, also with fields of later versions', () => {
  const all = { queues, nodesMissing: [], shardsMissing: 0 };
  assert.deepEqual(parseQueues(formatQueues(queues, 0)), all);
  assert.deepEqual(parseQueues(formatQueues(queues, 0, { nodes_missing: ['b:3999'], shards_missing: 2 })), {
    queues,
    nodesMissing: ['b:3999'],
    shardsMissing: 2,
  });
  const { items, ...list } = JSON.parse(Buffer.from(formatQueues(queues, 0)).toString()) as {
    items: object[];
  };
  const later = { ...list, more: [1], items: items.map((item) => ({ later: true, ...item })) };
  assert.deepEqual(parseQueues(JSON.stringify(later)), all);
});

test('what is no list of queues is refused by the name of the field', () => {
  const item = JSON.parse(Buffer.from(formatQueues(queues, 0)).toString()).items[1];
  for (const [body, message] of [
    ['{}', /items/],
    ['[]', /array of less than 3/],
    [JSON.stringify({ items: [{ ...item, consumers: 'many' }] }), /items\[0\]\.consumers/],
    [JSON.stringify({ items: [{ ...item, name: 7 }] }), /items\[0\]\.name/],
    [
      JSON.stringify({ items: [{ ...item, pauses: [{ ...item.pauses[0], of: 'all' }] }] }),
      /pauses\[0\]\.of: queue or server/,
    ],
    [JSON.stringify({ items: [item, { ...item, chunks_waiting: undefined }] }), /items\[1\]\.chunks_waiting/],
  ] as const) {
    assert.throws(() => parseQueues(body), { code: 'PROTOCOL', message });
  }
});
