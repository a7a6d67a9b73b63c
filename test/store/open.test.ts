import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from '../../src/server/index.ts';
import { insertOf } from '../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../src/store/conformance/session.ts';
import { openStore } from '../../src/store/index.ts';
import { runCommand } from '../support/command.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const known = 'known are sqlite:path/to/file.db, memory:, postgres://user@host:5432/database';
const refused = (message: string) => ({ code: 'INCORRECT_USAGE', message });

test('a URL with a path opens the SQLite file there', async () => {
  await using folder = await temporaryFolder();
  const fixture = { open: () => openStore(`sqlite:${folder.path}/queue.db`), dispose: async () => {} };
  await using session = await StoreSession.open(fixture);
  await session.commit(insertOf(1n));
  await using next = await session.reopen();
  assert.equal(next.grant.lastSeq, 1);
});

test('memory: keeps nothing', async () => {
  const fixture = { open: () => openStore('memory:'), dispose: async () => {} };
  await using session = await StoreSession.open(fixture);
  await session.commit(insertOf(1n));
  await using next = await session.reopen();
  assert.equal(next.grant.lastSeq, 0);
});

test('what names no store is refused with those there are, and without what it holds', async () => {
  for (const [url, problem] of [
    ['sqlit:queue.db', `store: unknown scheme sqlit:; did you mean sqlite:? ${known}`],
    ['mysql://user:secret@host/db', `store: unknown scheme mysql:; ${known}`],
    ['queue.db', `store must be a URL with a scheme; ${known}`],
    ['', `store must be a URL with a scheme; ${known}`],
    ['C:\\queue.db', `store must be a URL with a scheme; ${known}`],
    ['memory:queue', 'store memory:queue: write memory: and nothing else'],
    ['sqlite:', 'the database filename is empty'],
    [
      'sqlite:file:queue.db?mode=ro',
      'database file:queue.db?mode=ro: mode=ro: the queue needs mode=rwc, rw or memory',
    ],
  ] as const) {
    await assert.rejects(openStore(url), refused(problem), url);
  }
});

test('a queue takes a URL, an open store, and nothing else', async () => {
  const options = { hosts: ['127.0.0.1'], port: 0 };
  await using byUrl = await startServer({ ...options, store: 'memory:' });
  assert.ok(byUrl.port > 0);
  await using opened = await startServer({ ...options, store: await openStore('memory:') });
  assert.ok(opened.port > 0);
  const wrong: object = { store: {} };
  await assert.rejects(startServer({ ...options, ...wrong }), /store must be a URL or an open store, got/);
  await assert.rejects(startServer({ ...options, store: 'sqlit:x' }), /did you mean sqlite:\?/);
  const both = { ...options, store: 'memory:', databaseFilename: 'queue.db' };
  await assert.rejects(startServer(both), refused('give store or databaseFilename, not both'));
});

test('so does the command', async () => {
  for (const [args, problem] of [
    [['--store', 'sqlit:x'], /did you mean sqlite:\?/],
    [
      ['--store', 'memory:', '--database-filename', 'x.db'],
      /--store and --database-filename were both given/,
    ],
  ] as const) {
    const { stderr, code } = await runCommand(['serve', '--port', '0', ...args]);
    assert.match(stderr, problem);
    assert.equal(code, 2);
  }
});
