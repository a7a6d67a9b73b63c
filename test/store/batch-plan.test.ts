import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BatchFacts, type BatchStep, planBatch } from '../../src/store/batch-plan.ts';
import { cancelled, completed, insertOf, page } from '../../src/store/conformance/mutations.ts';
import type { Mutation } from '../../src/store/store.ts';

/** Facts as an engine reads them once, before the batch; the steps do not change them. */
const facts: BatchFacts = {
  shard: (shard) => (shard === 0 ? { epoch: 3, lastSeq: 7, highestId: 5n } : null),
  idByPrefix: (prefix) => (prefix === 'stored' ? 5n : null),
  idByIdempotencyKey: (key) => (key === 'stored-key' ? 5n : null),
  has: (id) => id === 5n,
};

function plan(seq: number, mutations: readonly Mutation[], { shard = 0, epoch = 3 } = {}): BatchStep[] {
  return [...planBatch({ shard, epoch, seq, mutations }, facts)];
}

test('a batch becomes its mutations, then the number of the batch and the highest id', () => {
  const mutations = [insertOf(9n), page(5n, 0, [1]), completed(5n, 1), cancelled(9n, 1), insertOf(8n)];
  assert.deepEqual(plan(8, mutations), [
    ...mutations.slice(0, 3),
    { kind: 'drop_progress', id: 5n },
    ...mutations.slice(3),
    { kind: 'advance', shard: 0, seq: 8, highestId: 9n },
  ]);
});

test('an insert finds what is stored, and what was inserted before it in the batch, by prefix or by key', () => {
  const steps = plan(8, [
    insertOf(6n, { prefix: 'new' }, { idempotencyKey: 'new-key' }),
    insertOf(7n, { prefix: 'stored' }),
    insertOf(8n, { prefix: 'new' }),
    insertOf(9n, { prefix: null }, { idempotencyKey: 'new-key' }),
    insertOf(10n, { prefix: null }, { idempotencyKey: 'stored-key' }),
  ]);
  assert.deepEqual(steps.slice(1), [
    { kind: 'exists', position: 1, id: 5n },
    { kind: 'exists', position: 2, id: 6n },
    { kind: 'exists', position: 3, id: 6n },
    { kind: 'exists', position: 4, id: 5n },
    { kind: 'advance', shard: 0, seq: 8, highestId: 6n },
  ]);
});

test('the last batch once more writes nothing, and tells what is gone', () => {
  const steps = plan(7, [
    insertOf(5n, { prefix: 'stored' }),
    insertOf(4n),
    page(5n, 0, [1]),
    completed(5n, 1),
  ]);
  assert.deepEqual(steps, [{ kind: 'gone', position: 1 }]);
});

test('a batch of a former owner, or out of order, is refused before its first step', () => {
  assert.throws(() => plan(8, [insertOf(9n)], { epoch: 2 }), { code: 'STORE_FENCED' });
  assert.throws(() => plan(8, [insertOf(9n)], { shard: 1 }), { code: 'STORE_FENCED' });
  for (const seq of [1, 6, 9]) assert.throws(() => plan(seq, [insertOf(9n)]), { code: 'STORE_CORRUPT' });
});
