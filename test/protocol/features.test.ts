import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  announcedInHeader,
  announcedInInit,
  type ConsumerClientFeature,
  type ProducerQueueFeature,
} from '../../src/protocol/features.ts';

test('names of other versions among those announced do no harm', () => {
  const names = announcedInHeader<ConsumerClientFeature>('bytes, of_tomorrow ,dropped');
  assert.deepEqual([names.has('bytes'), names.has('dropped'), names.has('refusal')], [true, true, false]);
  assert.equal(announcedInHeader<ConsumerClientFeature>(undefined).has('bytes'), false);
  const twice = announcedInHeader<ProducerQueueFeature>(['wait', 'known,retry']);
  assert.deepEqual([twice.has('wait'), twice.has('retry'), twice.has('ended')], [true, true, false]);
});

test('a feature that does not exist does not compile', () => {
  const names = announcedInHeader<ConsumerClientFeature>('bytes');
  // @ts-expect-error
  assert.equal(names.has('byte'), false);
  // @ts-expect-error
  assert.equal(announcedInInit({ features: ['extend'] }, 'extends'), false);
  assert.ok(announcedInInit({ features: ['extend'] }, 'extend'));
});
