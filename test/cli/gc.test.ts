import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runProgram } from '../../src/cli/program.ts';
import { bytesText } from '../../src/cli/text.ts';
import { runCommand } from '../support/command.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { TempStore } from '../support/objects/temp-store.ts';

// What a developer has set would stand in for what is left out here.
for (const name of ['URL', 'OBJECT_STORE', 'OLDER_THAN']) delete process.env[`OPSQUEUE_${name}`];

test('bytes are told in the largest unit', () => {
  assert.deepEqual([0, 999, 1_000, 999_400, 999_950, 4.2e9, 7e18].map(bytesText), [
    '0 B',
    '999 B',
    '1.00 kB',
    '999 kB',
    '1.00 MB',
    '4.20 GB',
    '7,000 PB',
  ]);
});

test('the help of gc says that every queue must be named', async () => {
  const { code, stdout } = await runCommand(['gc', '--help']);
  assert.equal(code, 0);
  assert.match(stdout, /Name EVERY queue/);
});

test('gc of a file instead of a folder says what cannot be listed', async () => {
  await using queue = await FakeQueue.start();
  await using objects = await TempStore.create();
  await writeFile(join(objects.folder, 'a-file'), '');
  const args = ['--object-store', `${objects.url}/a-file`, '--url', queue.url, '--older-than', '7d'];
  const { code, stderr } = await runCommand(['gc', ...args]);
  assert.equal(code, 1);
  assert.match(stderr, /^opsqueue: object store: cannot list \/.*a-file\/?: ENOTDIR[^\n]*\n$/);
});

test('gc used wrongly is one line that names it, and status 2', async () => {
  const right = ['--object-store', 'file:///tmp/nothing', '--url', 'localhost:1', '--older-than', '7d'];
  const without = (name: string) =>
    right.filter((_, index) => right[index] !== name && right[index - 1] !== name);
  for (const [args, names] of [
    [without('--object-store'), /--object-store/],
    [without('--url'), /--url/],
    [without('--older-than'), /--older-than/],
    [[...without('--older-than'), '--older-than', '59m'], /--older-than.*at least 1 hour/],
    [[...without('--older-than'), '--older-than', '7'], /--older-than.*7/],
    [[...right, '--object-store-option', 'aws_region'], /aws_region=/],
    [[...right, '--object-store-options-file', '/nowhere/options.json'], /nowhere/],
    [[...right, '--url', 'ftp://x'], /ftp/],
    [[...without('--object-store'), '--object-store', 'ftp://x'], /ftp/],
  ] as const) {
    const { code, stderr } = await runCommand(['gc', ...args]);
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, /^opsqueue: [^\n]+\n$/);
    assert.match(stderr, names);
  }
});

test('what nobody has thought of is one line too, without a stack', async () => {
  const said: string[] = [];
  const cause = new Error('cause', { cause: 'https://me:secret@host' });
  const broken = {
    write() {
      throw new TypeError('first line\nsecond line', { cause });
    },
  };
  const code = await runProgram(['--version'], {
    stdout: broken,
    stderr: { write: (text) => said.push(text) },
  });
  assert.equal(code, 1);
  assert.equal(said.join(''), 'opsqueue: unexpected error: TypeError: first line second line\n');
});
