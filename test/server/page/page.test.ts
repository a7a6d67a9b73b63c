import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { bundlePage, writePage } from '../../../scripts/page-bundle.ts';
import { ENDPOINTS } from '../../../src/server/http/endpoints.ts';
import { readPageFolder } from '../../../src/server/page/page-files.ts';
import { checkedSettings } from '../../../src/server/settings.ts';
import type { RawAnswer } from '../../support/peers/http-socket.ts';
import { TestServer } from '../../support/queues/test-server.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const headerOf = ({ headers }: RawAnswer, name: string) => headers.find(([each]) => each === name)?.[1];

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/** Of script and styles, as gzip has them. */
const BYTES_MAX = 70_000;

/** Names of the files that the HTML loads. */
const assetsIn = (html: string) =>
  [...html.matchAll(/(?:src|href)="([^"]*assets\/[^"]+)"/g)].map(([, url]) => url!);

test('the page is served with its files, under a policy that lets it load nothing else', async () => {
  await using server = await TestServer.start();
  const page = await server.get('/');
  assert.equal(page.status, 200);
  assert.equal(headerOf(page, 'content-type'), 'text/html; charset=utf-8');
  assert.equal(headerOf(page, 'content-security-policy'), POLICY);
  assert.equal(headerOf(page, 'cache-control'), 'no-store');
  const urls = assetsIn(page.body.toString());
  assert.deepEqual(urls.map((url) => url.replace(/-[0-9a-f]{16}/, '')).sort(), [
    'assets/page.css',
    'assets/page.js',
  ]);
  for (const url of urls) {
    const asset = await server.get(`/${url}`);
    assert.equal(asset.status, 200);
    assert.match(headerOf(asset, 'content-type') ?? '', /^text\/(?:css|javascript); charset=utf-8$/);
    assert.equal(headerOf(asset, 'cache-control'), 'public, max-age=31536000, immutable');
    for (const answer of [page, asset]) {
      assert.equal(headerOf(answer, 'x-content-type-options'), 'nosniff');
      assert.equal(headerOf(answer, 'referrer-policy'), 'no-referrer');
      assert.equal(headerOf(answer, 'cross-origin-opener-policy'), 'same-origin');
      assert.equal(headerOf(answer, 'cross-origin-resource-policy'), 'same-origin');
    }
  }
  const head = await server.request('HEAD /');
  assert.equal(headerOf(head, 'content-length'), String(page.body.length));
  assert.equal((await server.get('/assets/page-0.js')).status, 404);
});

test('the page has the name of the queue, whatever is in it', async () => {
  const name = `"><script>alert(1)</script>&amp; $& 'x'`.slice(0, 40);
  await using server = await TestServer.start({ name });
  const html = (await server.get('/')).body.toString();
  const escaped = name.replace(/[&"<>]/g, (character) => `&#${character.charCodeAt(0)};`);
  assert.ok(html.includes(`data-name="${escaped}">`), html.slice(0, 300));
  await assert.rejects(TestServer.start({ name: 'a\nb' }), /name must be at most 40 characters on one line/);
});

test('the page at the address of a queue has its name', async () => {
  await using server = await TestServer.start();
  for (const [path, name] of [
    ['/', ''],
    ['/q/words/', 'words'],
  ] as const) {
    const html = (await server.get(path)).body.toString();
    assert.ok(html.includes(` data-queue="${name}"`), html.slice(0, 300));
  }
});

test('without the page its paths are as unknown as any', async () => {
  await using server = await TestServer.start({ page: 'off' });
  for (const line of ['GET /', 'POST /', 'GET /assets/page.js', 'GET /q/words', 'GET /nothing']) {
    const { status, body } = await server.request(line);
    assert.deepEqual([line, status, body.length > 0], [line, 404, line === 'GET /q/words']);
  }
});

suite('prefixes', () => {
  test('with a base path every path is there with and without it', async () => {
    await using server = await TestServer.start({ basePath: '/batch' });
    for (const path of ['/ping', '/batch/ping', '/q/words/ping', '/batch/q/words/ping']) {
      assert.equal((await server.get(path)).body.toString(), 'pong', path);
    }
    assert.equal((await server.get('/batch/')).status, 200);
    assert.equal((await server.get('/batches/ping')).status, 404);
    const consumer = await server.consumer({}, '/batch');
    assert.ok(consumer.init);
  });

  test('a page without the slash at its end is one with it', async () => {
    await using server = await TestServer.start({ basePath: '/batch' });
    for (const [path, location] of [
      ['/batch', 'batch/'],
      ['/batch?x=1', 'batch/?x=1'],
      ['/q/words', 'words/'],
      ['/batch/q/words', 'words/'],
    ] as const) {
      const answer = await server.get(path);
      assert.deepEqual([path, answer.status, headerOf(answer, 'location')], [path, 308, location]);
    }
    assert.equal((await server.post('/q/words', '{}')).status, 404);
  });

  test('behind a proxy that takes a prefix off, URLs hold what it says it took, if that is a path', async () => {
    await using server = await TestServer.start();
    const urlOf = async (prefix: string, path = '/') =>
      assetsIn((await server.get(path, { 'x-forwarded-prefix': prefix })).body.toString())[0]?.replace(
        /page-.*/,
        '',
      );
    assert.equal(await urlOf('/tools/batch'), '/tools/batch/assets/');
    assert.equal(await urlOf('/batch/'), '/batch/assets/');
    // Of a queue's page the slash at the end is certain.
    assert.equal(await urlOf('/batch', '/q/words/'), 'assets/');
    for (const bad of [
      '//evil.example',
      '/a//b',
      'https://evil.example/',
      '/"><script>',
      '/a, /b',
      '/%BASE%',
      '',
    ]) {
      assert.equal(await urlOf(bad), 'assets/', bad);
    }
  });

  test('a base path hides nothing of the queue', () => {
    const firsts = new Set(Object.values(ENDPOINTS).map(({ path }) => path.split('/')[1]!));
    for (const first of [...firsts, 'q']) {
      if (first === '') continue;
      assert.throws(
        () => checkedSettings({ basePath: `/${first}/x` }),
        /basePath must be a path such as/,
        first,
      );
    }
    for (const bad of ['batch', '/batch/', '//batch', '/a b']) {
      assert.throws(() => checkedSettings({ basePath: bad }), /basePath must be/, bad);
    }
    assert.equal(checkedSettings({ basePath: '/a/b-c' }).basePath, '/a/b-c');
    assert.throws(() => checkedSettings({ page: 'maybe' as 'on' }), /page must be one of on, off/);
  });
});

test('the package has the page compressed ahead, as the sources give it, within its budget', async () => {
  await using folder = await temporaryFolder();
  await writePage(folder.path);
  const [packed, fresh] = [await readPageFolder(pathToFileURL(`${folder.path}/`)), await bundlePage()];
  assert.equal(packed.html, fresh.html);
  assert.deepEqual([...packed.assets.keys()].sort(), [...fresh.assets.keys()].sort());
  let bytes = 0;
  for (const [name, { plain, br, gzip }] of packed.assets) {
    assert.deepEqual(Buffer.from(plain), Buffer.from(fresh.assets.get(name)!.plain));
    assert.ok(br !== undefined && gzip !== undefined && br.length < gzip.length);
    bytes += gzipSync(plain).length;
    // The first format takes a browser 30 ms and more, when nothing is shown yet.
    assert.doesNotMatch(Buffer.from(plain).toString(), /\bIntl\./);
  }
  assert.ok(bytes <= BYTES_MAX, `${bytes} bytes of ${BYTES_MAX}`);
});
