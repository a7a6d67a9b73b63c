// In a process of its own: the files of the page that share one are not to come near its time limit.
import assert from 'node:assert/strict';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { before, suite, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { freePort } from '../support/network/free-port.ts';
import { TcpProxy } from '../support/network/tcp-proxy.ts';
import { findBrowser, type Look, WatchedPage } from '../support/page/browser.ts';
import { sharedBrowser, there } from '../support/page/suite.ts';
import { balanced, queueAt } from '../support/queues/cluster.ts';
import { TestServer } from '../support/queues/test-server.ts';

const WIDE: Look = { width: 1440, theme: 'light' };
const file = findBrowser();

suite('the page of a real queue', { skip: file === null ? 'there is no browser' : false }, () => {
  let browser: Browser;
  before(async () => {
    browser = await sharedBrowser(file ?? '');
  });

  test('a queue that goes away is said to be gone, and its return is seen', async () => {
    const port = await freePort();
    const server = await TestServer.start({ port });
    const origin = `http://127.0.0.1:${port}`;
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    await page.goto(`${origin}/#/queue`);
    await page.getByText('the unnamed one').waitFor();
    await server[Symbol.asyncDispose]();
    const banner = page.locator('.banner');
    await banner.waitFor();
    assert.match((await banner.textContent()) ?? '', /The queue cannot be reached. What you see is of \d\d:/);
    await using _again = await TestServer.start({ port });
    await banner.waitFor({ state: 'detached' });
    // What the browser itself says of a connection that is refused.
    assert.deepEqual(
      watched.complaints.filter((each) => !each.includes('Failed to load resource')),
      [],
    );
  });

  test('the last events are read at once, and anew where the queue was started again', async () => {
    const port = await freePort();
    const server = await TestServer.start({ port });
    for (let i = 0; i < 30; i++) await server.insert(`nightly-${i}`, 1);
    const origin = `http://127.0.0.1:${port}`;
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    const asked: string[] = [];
    page.on('request', (each) => {
      if (each.url().includes('/events?')) asked.push(each.url());
    });
    await page.goto(`${origin}/#/overview`);
    const rows = page.getByRole('table', { name: 'Events' }).locator('tbody tr');
    await rows.nth(11).waitFor();
    assert.equal(asked.filter((url) => !url.includes('after=')).length, 1);
    await page.getByText('submission inserted').first().waitFor();
    await server[Symbol.asyncDispose]();
    await using _again = await TestServer.start({ port });
    await page.getByText('Some earlier events are not known: a server was started again').waitFor();
    await there(rows, 1);
    assert.match((await rows.textContent()) ?? '', /server started/);
  });

  test('an age goes on while the answer stays the same', async () => {
    await using server = await TestServer.start();
    const origin = `http://127.0.0.1:${server.port}`;
    await server.insert('nightly-9', 1);
    const consumer = await server.consumer();
    const [reserved = assert.fail()] = await consumer.reserved();
    consumer.fail(reserved.chunk);
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    await page.goto(`${origin}/#/failures`);
    await page.locator('h1 .since time').waitFor();
    // By then the browser's own cache has answered, with the body of back then.
    await page
      .locator('.failures time', { hasText: /^(?:[3-9]|\d\d)\u2009s ago$/ })
      .first()
      .waitFor();
    watched.assertQuiet();
  });

  test('a page does nothing with another queue that answers at its address', async () => {
    const port = await freePort();
    const staging = await TestServer.start({ name: 'staging', port });
    const origin = `http://127.0.0.1:${port}`;
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    await page.goto(`${origin}/#/submissions`);
    await page.getByText('No submission matches').waitFor();
    await staging[Symbol.asyncDispose]();
    await using production = await TestServer.start({ name: 'production', port });
    await production.insert('nightly-7', 3);
    await page.getByText('Another queue answers at this address: production').waitFor();
    assert.equal(await page.locator('table, .verb').count(), 0);
    await page.getByRole('button', { name: 'Reload the page' }).click();
    await page.locator('.name', { hasText: 'production' }).waitFor();
    await page.locator('.row-link').waitFor();
  });

  test('queues are told apart by name, in the title and at the top', async () => {
    await using named = await TestServer.start({ name: 'production <eu>' });
    await using plain = await TestServer.start();
    for (const [{ port }, title, top] of [
      [named, 'Failures – production <eu>', 'production <eu>'],
      [plain, `Failures – 127.0.0.1:${plain.port}`, 'opsqueue'],
    ] as const) {
      const origin = `http://127.0.0.1:${port}`;
      await using watched = await WatchedPage.open(browser, origin, WIDE);
      const { page } = watched;
      await page.goto(`${origin}/#/failures`);
      await page.locator('.name', { hasText: top }).waitFor();
      assert.equal(await page.title(), title);
      await page.goto(`${origin}/#/failures?queue=images`);
      const ofQueue = title.replace('– ', '– images – ');
      await page.waitForFunction(`document.title === ${JSON.stringify(ofQueue)}`);
      watched.assertQuiet();
    }
  });

  test('what is in a queue is on its page, and what is done there happens', async () => {
    await using server = await TestServer.start();
    const origin = `http://127.0.0.1:${server.port}`;
    const id = await server.insert('nightly-7', 40, { strategic_metadata: { customer: 42 } });
    await server.insert('nightly-8', 3, { strategic_metadata: { customer: 43 } });
    const consumer = await server.consumer();
    consumer.reserve();
    await consumer.next('reserved');
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    await page.goto(`${origin}/`);
    await page.locator('.figure', { hasText: 'Consumers working' }).getByText('1 of 1').waitFor();
    await page.keyboard.type('gv');
    await page.getByRole('link', { name: '42', exact: true }).click();
    await page.getByRole('link', { name: String(id) }).click();
    await page.getByText('nightly-7').first().waitFor();
    await page.getByText('0 of 40 chunks', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await page.getByLabel('Reason').fill('the disk is being moved');
    await page.getByRole('button', { name: 'Pause 1 submission' }).click();
    await page
      .getByText(/^Paused by .*: the disk is being moved$/)
      .first()
      .waitFor();
    // Once is enough.
    await page.locator('.verdict', { hasText: /^Nothing more is handed out until it is resumed$/ }).waitFor();
    await page.locator('.figure', { hasText: 'Time left' }).getByText('it is paused').waitFor();
    const status = (
      await server.get(`/producer/submissions/${id}`, { 'opsqueue-client': '1.0.0' })
    ).body.toString();
    assert.match(
      status,
      /"pauses":\[\{"cause":"manual","by":"127\.0\.0\.1","reason":"the disk is being moved"/,
    );
    await page.getByRole('button', { name: 'Resume', exact: true }).click();
    await page.getByRole('button', { name: 'Resume 1 submission' }).click();
    await page.getByRole('button', { name: 'Pause', exact: true }).waitFor();
    await page.keyboard.type('ge');
    await page.getByText('submission inserted').first().waitFor();
    assert.deepEqual(
      watched.complaints.filter((each) => !each.includes('Failed to load resource')),
      [],
    );
  });

  test('what was done though its answer was lost is told when it is tried again, and is not done again', async () => {
    await using server = await TestServer.start();
    const origin = `http://127.0.0.1:${server.port}`;
    const id = await server.insert('nightly-9', 3);
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    let isLost = false;
    await page.route('**/actions/pause', async (route) => {
      if (isLost || route.request().postData()?.includes('dry_run')) return route.continue();
      isLost = true;
      await route.fetch();
      return route.abort();
    });
    await page.goto(`${origin}/#/submissions/${id}`);
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await page.getByRole('button', { name: 'Pause 1 submission' }).click();
    await page.getByText('No answer: it may have been done').waitFor();
    await page
      .getByText(/^Paused by /)
      .first()
      .waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('Paused 1 submission', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('Resumed 1 submission', { exact: true }).waitFor();
  });

  test('what a program paused is resumed for its own cause, and what else holds it is told', async () => {
    await using server = await TestServer.start();
    const origin = `http://127.0.0.1:${server.port}`;
    const id = await server.insert('nightly-9', 3);
    const pause = (target: object, cause: string) =>
      server.post(
        '/api/v1/actions/pause',
        JSON.stringify({ ...target, cause, by: 'accounting', reason: null }),
      );
    await pause({ ids: [String(id)] }, 'budget');
    await pause({ server: true }, 'disk-full');
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    await page.goto(`${origin}/#/submissions/${id}`);
    const dialog = page.getByRole('dialog');
    const resume = (name: string | RegExp) => page.getByRole('button', { name, exact: true });
    const every = page.getByLabel('For every cause, whoever paused it');
    await resume('Resume').click();
    await dialog.getByText('Would resume 0 of 1 submission; 1 was not paused for cause manual').waitFor();
    await dialog.getByText(/^Still paused by accounting .* \(cause budget\)$/).waitFor();
    await dialog.getByText(/^Still paused with the server by accounting .* \(cause disk-full\)$/).waitFor();
    assert.equal(await resume('Resume 0 submissions').isDisabled(), true);
    await every.check();
    await resume('Resume 1 submission').click();
    await page.getByText('Resumed 1 submission; still paused with the server: disk-full').waitFor();
    assert.equal(await resume('Undo').count(), 0);
    await page.goto(`${origin}/#/queue`);
    await resume('Resume everything').click();
    await dialog.getByText('The server was not paused for cause manual').waitFor();
    await every.check();
    await resume('Resume').last().click();
    await page.getByText('Resumed the server', { exact: true }).waitFor();
    watched.assertQuiet();
  });

  test('at the address of a queue there is that queue and nothing else', async () => {
    await using server = await TestServer.start({ name: 'production' });
    const origin = `http://127.0.0.1:${server.port}`;
    const body = (prefix: string) =>
      JSON.stringify({ chunk_contents: { SeeObjectStorage: { prefix, count: 3 } } });
    const own = (await server.post('/q/images/producer/submissions', body('own'))).body.toString();
    const other = (await server.post('/q/videos/producer/submissions', body('other'))).body.toString();
    await server.post('/api/v1/actions/pause', JSON.stringify({ server: true, reason: null }));
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    await page.goto(`${origin}/q/images/#/submissions?queue=videos`);
    await page.getByRole('link', { name: own }).waitFor();
    assert.equal(await page.title(), 'Submissions – images – production');
    assert.equal(await page.getByRole('link', { name: other }).count(), 0);
    assert.equal(await page.getByLabel('Queue', { exact: true }).count(), 0);
    await page.goto(`${origin}/q/images/#/queue`);
    await page.getByText('Settings in force').waitFor();
    const rows = page.locator('table[aria-label="This queue"] tr[data-row]');
    await rows.getByRole('button', { name: 'Pause' }).click();
    await there(rows, 1);
    assert.equal(await page.getByRole('button', { name: 'everything' }).count(), 0);
    await page.getByRole('dialog').getByText('Would pause queue images').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Paused queue images').waitFor();
    await page.locator('.pauses', { hasText: /Paused by .*Paused with the server by / }).waitFor();
    await rows.getByRole('button', { name: 'Resume' }).waitFor();
    watched.assertQuiet();
  });

  test('the page of a node shows and changes what another one has, and names it when it is gone', async () => {
    const database = new MemoryDatabase();
    const sharing = () => ({ store: new MemoryStore({ database, clock: systemClock }), leaseMs: 60_000 });
    const port = await freePort();
    // The only way to the other node: without it, that one is gone for this one.
    await using way = await TcpProxy.start(port);
    await using a = await TestServer.start(sharing());
    await using _b = await TestServer.start({ ...sharing(), port, advertise: `127.0.0.1:${way.port}` });
    await balanced(a, way);
    const ids = new Map<string, string>();
    for (const [prefix, node] of [
      ['nightly-here', a],
      ['nightly-there', way],
    ] as const) {
      const body = JSON.stringify({ chunk_contents: { SeeObjectStorage: { prefix, count: 3 } } });
      const { status, body: id } = await a.post(`/q/${await queueAt(node)}/producer/submissions`, body);
      assert.equal(status, 200);
      ids.set(prefix, id.toString());
    }
    const origin = `http://127.0.0.1:${a.port}`;
    await using watched = await WatchedPage.open(browser, origin, WIDE);
    const { page } = watched;
    await page.goto(`${origin}/#/submissions`);
    const rowOf = (prefix: string) => page.getByRole('link', { name: ids.get(prefix) ?? '' });
    await rowOf('nightly-here').waitFor();
    await rowOf('nightly-there').click();
    await page.getByText('0 of 3 chunks', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await page.getByRole('button', { name: 'Pause 1 submission' }).click();
    await page
      .getByText(/^Paused by /)
      .first()
      .waitFor();
    const query = `/api/v1/submissions?queue=${await queueAt(way)}&state=paused`;
    const answer = await fetch(`http://127.0.0.1:${port}${query}`);
    assert.equal(((await answer.json()) as { readonly matched: number }).matched, 1);
    await way[Symbol.asyncDispose]();
    await page.goto(`${origin}/#/submissions`);
    await page.getByText(`Node 127.0.0.1:${way.port} does not answer`).waitFor();
    await rowOf('nightly-here').waitFor();
    await rowOf('nightly-there').waitFor({ state: 'detached' });
    assert.deepEqual(
      watched.complaints.filter((each) => !each.includes('Failed to load resource')),
      [],
    );
  });

  for (const [what, basePath, isStripped] of [
    ['takes its prefix off', '', true],
    ['leaves its prefix on', '/tools/batch', false],
  ] as const) {
    test(`the page works behind a proxy that ${what}`, async () => {
      await using server = await TestServer.start({ basePath });
      const proxy = await startProxy(server.port, '/tools/batch', isStripped);
      try {
        const origin = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
        await using watched = await WatchedPage.open(browser, origin, WIDE);
        const { page } = watched;
        for (const path of [
          '/tools/batch/',
          '/tools/batch',
          '/tools/batch/q/images/',
          '/tools/batch/q/images',
        ]) {
          await page.goto(`${origin}${path}#/queue`);
          const isOfOne = path.includes('/q/');
          await page.getByText(isOfOne ? 'Nothing is in it' : 'the unnamed one').waitFor();
          await page.getByText('Settings in force').waitFor();
          const ofServer = page.getByText('Pause everything');
          if (isOfOne) assert.equal(await ofServer.count(), 0);
          else await there(ofServer, 1);
          const urls = await page.evaluate(() =>
            performance.getEntriesByType('resource').map(({ name }) => name),
          );
          assert.deepEqual(
            urls.filter((url) => !url.startsWith(`${origin}/tools/batch/`)),
            [],
          );
        }
      } finally {
        proxy.closeAllConnections();
        proxy.close();
      }
    });
  }
});

/** Passes on what is below its prefix, with or without it, and nothing else. */
async function startProxy(port: number, prefix: string, isStripped: boolean): Promise<Server> {
  const proxy = createServer((asked, answer) => {
    const { url = '', method, headers } = asked;
    if (!url.startsWith(prefix)) {
      answer.writeHead(404).end();
      return;
    }
    const rest = url.slice(prefix.length);
    const path = isStripped ? (rest.startsWith('/') ? rest : `/${rest}`) : url;
    const more = isStripped ? { 'x-forwarded-prefix': prefix } : {};
    const options = { host: '127.0.0.1', port, path, method, headers: { ...headers, ...more } };
    const passed = request(options, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      got.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    asked.pipe(passed);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return proxy;
}
