import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ObjectStoreOptions } from '../../src/objects/object-store.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import { bytes, objectStoreConformance, rejectsWith } from '../conformance/object-store.ts';
import type { ObjectServer } from '../support/objects/object-servers.ts';
import { isInstalled, STRICT_SERVERS } from './servers.ts';

const installed = STRICT_SERVERS.filter(({ command }) => isInstalled(command));
for (const { command, install } of STRICT_SERVERS) {
  if (!isInstalled(command)) console.error(`${command} is not in the path: ${install}`);
}

test('at least one of the strict servers is installed', () => {
  assert.ok(installed.length > 0, STRICT_SERVERS.map(({ install }) => install).join('; '));
});

/**
 * Two of them answer 500 where they race with themselves (wsgidav, when a folder is made twice at once) or send one
 * version's checksum with another's bytes (versitygw, while an object is overwritten): what retries are for.
 */
const RETRIES = { max_retries: 5, retry_first_wait: '5ms' };

for (const { command, start, overwritesInPlace = false, hidesDotNames = false } of installed) {
  const subject = async () => {
    const server = await start();
    return {
      open: (name: string) => {
        const { url, options } = server.place(name);
        return openObjectStore(url, { ...options, ...RETRIES }, { listPageMax: 20 });
      },
      stop: () => server.stop(),
    };
  };
  objectStoreConformance(command, subject, { listingObjects: 50, overwritesInPlace, hidesDotNames });
}

// It alone of them checks who asks and what arrives.
const versitygw = installed.find(({ command }) => command === 'versitygw');
if (versitygw !== undefined) {
  describe('versitygw', () => {
    let server: ObjectServer;
    before(async () => {
      server = await versitygw.start();
    });
    after(() => server?.stop());

    const put = async (options: ObjectStoreOptions) => {
      const place = server.place('checks');
      const store = await openObjectStore(place.url, { ...place.options, max_retries: 0, ...options });
      try {
        await store.put('p/0-in.bin', bytes(20_000));
        assert.deepEqual(new Uint8Array(await store.get('p/0-in.bin')), bytes(20_000));
        await store.delete(['p/0-in.bin', 'p/1-in.bin']);
      } finally {
        await store.close();
      }
    };

    test('takes our signatures, and refuses those of another key', async () => {
      await put({});
      await put({ unsigned_payload: true });
      await rejectsWith('OBJECT_DENIED', put({ aws_secret_access_key: 'another' }), 'p/0-in.bin');
      await rejectsWith('OBJECT_DENIED', put({ skip_signature: true }), 'p/0-in.bin');
    });

    for (const algorithm of ['CRC32', 'CRC32C', 'SHA1', 'SHA256', 'CRC64NVME']) {
      test(`checks our ${algorithm}`, () => put({ aws_checksum_algorithm: algorithm }));
    }

    test('takes uploads without a checksum', () =>
      put({
        aws_request_checksum_calculation: 'when_required',
        aws_response_checksum_validation: 'when_required',
      }));
  });
}
