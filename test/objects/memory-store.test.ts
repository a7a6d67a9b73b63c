import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openObjectStore } from '../../src/objects/open.ts';
import { bytes, objectStoreConformance, rejectsWith } from '../conformance/object-store.ts';

objectStoreConformance('memory:', async () => ({
  open: (name) => openObjectStore(`memory:///conformance/${name}`),
  stop: async () => {},
}));

describe('memory:', () => {
  test('is one per process and name, whichever client opened it first', async () => {
    const [producer, consumer] = [
      await openObjectStore('memory:///meet/'),
      await openObjectStore('memory:/meet'),
    ];
    await producer.put('p/0-in.bin', bytes(5));
    await producer.close();
    assert.equal((await consumer.get('p/0-in.bin')).length, 5);
    await rejectsWith('OBJECT_NOT_FOUND', (await openObjectStore('memory:///meet2')).get('p/0-in.bin'));
  });

  test('leaves its thread a turn while a loop does nothing but read', async () => {
    const store = await openObjectStore('memory:///turns');
    await store.put('p/0-in.bin', bytes(10));
    let over = false;
    setImmediate(() => {
      over = true;
    });
    let calls = 0;
    while (!over && calls < 1_000_000) {
      await store.get('p/0-in.bin');
      calls++;
    }
    assert.ok(over);
  });
});
