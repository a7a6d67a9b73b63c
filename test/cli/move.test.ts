import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStore } from '../../src/store/index.ts';
import { runCommand } from '../support/command.ts';
import { fillStore } from '../support/store/fill-store.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('move prints what it did, as text or as JSON; what is wrong is one line and a status', async () => {
  await using folder = await temporaryFolder();
  const url = (name: string) => `sqlite:${join(folder.path, name)}`;
  await fillStore({ open: () => openStore(url('a')), dispose: async () => {} }, 1);
  const said = await runCommand(['move', '--from', url('a'), '--to', url('b')]);
  assert.equal(said.code, 0);
  assert.equal(said.stderr, '');
  assert.match(
    said.stdout,
    /^0 of \d+ rows \(0 %\)\n(?:.+ rows.*\n)*moved \d+ submissions \(\d+ in progress\), \d+ of pages, .+, \d of direct_inputs, .+ in \d+ ms\nfrom database \/.+\/a\nto {3}database \/.+\/b\nEvery row was read back and compared\. Start the queue on the new store; the old one is as it was: keep it as a backup, and\nstart no queue on it again\.\n$/,
  );
  const { stdout } = await runCommand(['move', '--from', url('b'), '--to', url('c'), '--json']);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const last = lines.pop();
  assert.deepEqual(Object.keys(last ?? {}), ['from', 'to', 'rows', 'submissions_open', 'took_ms']);
  for (const line of lines) assert.deepEqual(Object.keys(line), ['rows_done', 'rows_total']);

  for (const [args, code, message] of [
    [['--from', url('a'), '--to', url('b')], 1, /b: it is not empty/],
    [['--from', url('none'), '--to', url('d')], 1, /none: the file does not exist/],
    [['--from', url('a')], 2, /required option '--to <url>' not specified/],
    [['--from', 'queue.db', '--to', url('d')], 2, /from must be a URL with a scheme/],
    [['--from', 'memory:', '--to', url('d')], 2, /from: a store of memory: cannot be moved/],
    [['--from', url('a'), '--to', 'postgres://user:secret@h/db?x=y'], 2, /store postgres: .*x/],
  ] as const) {
    const { code: status, stderr } = await runCommand(['move', ...args]);
    assert.equal(status, code, stderr);
    assert.match(stderr, message);
    assert.match(stderr, /^opsqueue: [^\n]+\n$/);
    assert.ok(!stderr.includes('secret'));
  }
});
