import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openObjectStore, type StoreWait } from '../../src/objects/open.ts';
import { parseMultistatus } from '../../src/objects/remote/http/webdav.ts';
import type { Clock } from '../../src/system/time/clock.ts';
import { bytes, listed, rejectsWith } from '../conformance/object-store.ts';
import { startFakeDav } from '../support/fakes/fake-dav.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

describe('answers to PROPFIND', () => {
  test('are read whatever the prefix of the namespace', () => {
    const apache = `<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:">
<D:response xmlns:lp1="DAV:" xmlns:lp2="http://apache.org/dav/props/">
<D:href>/dav/p/</D:href>
<D:propstat><D:prop><lp1:resourcetype><D:collection/></lp1:resourcetype>
<lp1:getlastmodified>Thu, 01 Jan 1970 00:00:10 GMT</lp1:getlastmodified></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>
</D:response>
<D:response xmlns:lp1="DAV:">
<D:href>/dav/p/0-in.bin</D:href>
<D:propstat><D:prop><lp1:resourcetype/><lp1:getcontentlength>12</lp1:getcontentlength>
<lp1:getlastmodified>Thu, 01 Jan 1970 00:00:20 GMT</lp1:getlastmodified></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat>
</D:response>
</D:multistatus>`;
    assert.deepEqual(parseMultistatus(apache), [
      { href: '/dav/p/', isCollection: true, sizeBytes: 0, modifiedMs: 10_000 },
      { href: '/dav/p/0-in.bin', isCollection: false, sizeBytes: 12, modifiedMs: 20_000 },
    ]);
    const plain = apache.replace(/(<\/?)(?:D|lp1):/g, '$1').replace('xmlns:D="DAV:"', 'xmlns="DAV:"');
    assert.deepEqual(parseMultistatus(plain), parseMultistatus(apache));
  });

  test('have entities in their names', () => {
    const [first, second] = parseMultistatus(
      '<multistatus xmlns="DAV:"><response><href>/a&amp;b&#x41;&#66;&lt;</href></response>' +
        '<response><href><![CDATA[/c&d]]></href></response></multistatus>',
    );
    assert.equal(first?.href, '/a&bAB<');
    assert.equal(second?.href, '/c&d');
  });

  test('may be empty', () => {
    assert.deepEqual(parseMultistatus('<D:multistatus xmlns:D="DAV:"/>'), []);
  });

  test('are refused if they are something else', () => {
    for (const wrong of [
      '',
      '<html></html>',
      '<multistatus><response></response></multistatus>',
      '<multistatus>',
    ]) {
      assert.throws(() => parseMultistatus(wrong), SyntaxError, wrong);
    }
  });
});

describe('folders on a WebDAV server', () => {
  const put = async (count: number, refused: number) => {
    const made: string[] = [];
    const server = await startFakeDav({
      onRequest(method, path) {
        if (method !== 'MKCOL') return undefined;
        made.push(path);
        return made.length <= refused ? 403 : undefined;
      },
    });
    const store = await openObjectStore(`${server.origin}/base`, { allow_http: true, max_retries: 0 });
    try {
      const bodies = Array.from({ length: count }, (_, index) =>
        store.put(`p/${index}-in.bin`, Uint8Array.of(index)),
      );
      const results = await Promise.allSettled(bodies);
      return { made, written: results.filter(({ status }) => status === 'fulfilled').length };
    } finally {
      await store.close();
      await server.stop();
    }
  };

  test('are made once for many chunks that come at the same time', async () => {
    const { made, written } = await put(20, 0);
    assert.deepEqual(made.slice(0, 3), ['base/p', 'base', 'base/p']);
    // A chunk whose refusal comes only after that asks once more.
    assert.ok(made.length < 20, made.join());
    assert.equal(written, 20);
  });

  test('are made at nginx: their names end in a slash, and what lacks one is a 500', async () => {
    const server = await startFakeDav({ likeNginx: true });
    const store = await openObjectStore(`${server.origin}/base`, { allow_http: true, max_retries: 0 });
    try {
      await Promise.all([0, 1, 2].map((index) => store.put(`p/${index}-in.bin`, bytes(10))));
      await store.put('q/0-in.bin', bytes(10));
      assert.equal((await listed(store, '')).length, 4);
    } finally {
      await store.close();
      await server.stop();
    }
  });

  test('a 500 that has another reason stays what it was, also where no folder can be made', async () => {
    for (const mkcol of [403, 500]) {
      const server = await startFakeDav({
        onRequest: (method) => (method === 'PUT' ? 500 : method === 'MKCOL' ? mkcol : undefined),
      });
      const waits: StoreWait[] = [];
      const store = await openObjectStore(
        `${server.origin}/base`,
        { allow_http: true, max_retries: 1, retry_first_wait: '1ms' },
        { onWait: (wait) => waits.push(wait) },
      );
      const error = await rejectsWith('OBJECT_FAILED', store.put('p/0-in.bin', bytes(10)), 'p/0-in.bin');
      assert.match(error.message, /put: HTTP status 500/);
      assert.equal(waits.length, 1);
      await store.close();
      await server.stop();
    }
  });

  for (const status of [421, 423, 425]) {
    test(`an object or folder that is not to be had right now is waited for: ${status}`, async () => {
      const busy = new Set(['MKCOL', 'PUT', 'GET', 'DELETE', 'PROPFIND']);
      const server = await startFakeDav({
        onRequest: (method) => (busy.delete(method) ? status : undefined),
      });
      const store = await openObjectStore(`${server.origin}/base`, {
        allow_http: true,
        retry_first_wait: '1ms',
        retry_max_wait: '2ms',
      });
      try {
        await store.put('p/0-in.bin', bytes(10));
        assert.equal((await store.get('p/0-in.bin')).length, 10);
        assert.deepEqual(await listed(store, ''), ['p/0-in.bin']);
        await store.delete(['p/0-in.bin']);
        assert.equal(busy.size, 0);
      } finally {
        await store.close();
        await server.stop();
      }
    });
  }

  test('are made by the next one if the first one cannot', async () => {
    const { written } = await put(5, 1);
    assert.equal(written, 4);
  });
});

describe('the folders of a WebDAV server', () => {
  test('are listed over as many tries as it takes: one try has the time for some of them only', async () => {
    const clock = new ManualClock();
    await using scene = await davScene({
      // Each request takes a tenth of a second of a clock that stands still otherwise.
      onRequest(method) {
        if (method === 'PROPFIND') clock.advance(100);
        return undefined;
      },
      clock,
    });
    const names = Array.from({ length: 350 }, (_, index) => `f${index}`).sort();
    for (const name of names) await scene.store.put(`${name}/0-in.bin`, bytes(1));
    assert.deepEqual((await Array.fromAsync(scene.store.listFolders(''))).sort(), names);
    assert.ok(clock.monotonicMs() > 30_000);
  });
});

describe('what lies beside a deleted object on a WebDAV server', () => {
  const asked: string[] = [];
  const onRequest = (method: string, path: string) => {
    asked.push(`${method} ${path}`);
    return undefined;
  };

  test('stays, the folder too, and is not even looked at', async () => {
    await using scene = await davScene({ onRequest });
    const keys = Array.from({ length: 250 }, (_, index) => `p/${index}-in.bin`);
    for (const key of keys) await scene.store.put(key, bytes(1));
    asked.length = 0;
    await scene.store.delete(keys);
    assert.deepEqual(asked.sort(), keys.map((key) => `DELETE base/${key}`).sort());
    assert.deepEqual(await listed(scene.store, ''), []);
    assert.deepEqual(await Array.fromAsync(scene.store.listFolders('')), []);
  });

  test('stays behind a proxy that rewrites paths, where no listing can be understood', async () => {
    await using scene = await davScene({ onRequest, hrefPrefix: '/internal' });
    await scene.store.put('p/0-in.bin', bytes(1));
    await scene.store.put('p/1-in.bin', bytes(2));
    await scene.store.delete(['p/0-in.bin']);
    assert.equal((await scene.store.get('p/1-in.bin')).length, 2);
    for (const list of [() => listed(scene.store, 'p'), () => Array.fromAsync(scene.store.listFolders(''))]) {
      asked.length = 0;
      const error = await rejectsWith('OBJECT_CORRUPT', list());
      assert.match(error.message, /\/internal\/base.*rewrite paths/);
      assert.equal(asked.length, 1);
    }
  });

  test('is an error where an answer leaves out the folder that was asked for', async () => {
    await using server = await scriptedHttp(() => ({
      status: 207,
      body: '<D:multistatus xmlns:D="DAV:"/>',
      headers: { 'content-type': 'application/xml' },
    }));
    const store = await openObjectStore(`http://${server.url}/base`, { allow_http: true });
    await rejectsWith('OBJECT_CORRUPT', listed(store, 'p'));
    await store.close();
  });
});

async function davScene({ clock, ...options }: Parameters<typeof startFakeDav>[0] & { clock?: Clock }) {
  const server = await startFakeDav(options);
  const context = clock === undefined ? {} : { clock };
  // Nobody moves a clock of the test's own to the next try.
  const retries = { max_retries: clock === undefined ? 1 : 0, retry_first_wait: '1ms' };
  const store = await openObjectStore(`${server.origin}/base`, { allow_http: true, ...retries }, context);
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store.close();
      await server.stop();
    },
  };
}
