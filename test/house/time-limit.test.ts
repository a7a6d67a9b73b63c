import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { limitOf } from '../../scripts/time-limit.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Writes files, and gives them to `npm test` with four seconds of time. */
function runFiles(folder: string, texts: Readonly<Record<string, string>>) {
  mkdirSync(folder, { recursive: true });
  const files = Object.entries(texts).map(([name, text]) => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return file;
  });
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout, stderr, error } = spawnSync(process.execPath, ['scripts/test.ts', ...files], {
    cwd: root,
    env: { ...env, OPSQUEUE_TEST_SECONDS: '4' },
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(error, undefined);
  return { status, stdout, stderr };
}

const FILES = {
  'loops.test.ts': "import { test } from 'node:test';\ntest('loops', () => { for (;;); });",
  'open.test.ts':
    "import { test } from 'node:test';\ntest('leaves a child', async () => {\n" +
    "  const { spawn } = await import('node:child_process');\n" +
    "  spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });\n});",
  'quick.test.ts': "import { test } from 'node:test';\ntest('is quick', () => {});",
};

test('a test file that does not end is ended with all that it started, red, and named', async () => {
  await using folder = await temporaryFolder();
  const { status, stdout, stderr } = runFiles(folder.path, FILES);
  assert.notEqual(status, 0, stdout);
  for (const [name, where] of [
    ['loops.test.ts', 'in loops'],
    ['open.test.ts', 'after the last test'],
  ] as const) {
    assert.match(stdout + stderr, new RegExp(`${name}, ${where}: no test began for 4 s, ended`));
    assert.match(stdout, new RegExp(`✖ .*${name}`));
  }
  assert.match(stdout, /✔ is quick/);
  assert.doesNotMatch(stdout, /✖ .*quick\.test\.ts/);
});

test('a file goes on for longer than that as long as one test after the other begins', () => {
  const clock = new ManualClock();
  const ended: string[] = [];
  const after = (ms: number, fire: () => void) => {
    const timer = clock.after(ms, fire);
    return () => timer.cancel();
  };
  const begin = limitOf(4_000, after, (place) => ended.push(place));
  for (const place of ['the file', 'in one', 'in other', 'after the last test']) {
    begin(place);
    clock.advance(3_999);
  }
  assert.deepEqual(ended, []);
  clock.advance(1);
  assert.deepEqual(ended, ['after the last test']);
});

test('files that share a process are ended together, and the test that was running is named', async () => {
  await using folder = await temporaryFolder();
  const { status, stdout, stderr } = runFiles(join(folder.path, 'test', 'sharing'), FILES);
  assert.notEqual(status, 0, stdout);
  assert.match(stdout + stderr, /sharing-1\.test\.mjs, in loops: no test began for 4 s, ended/);
  assert.match(stdout, /✖ .*sharing-1\.test\.mjs/);
});

test('files that share a process: each runs, with its hooks, unless it says that it cannot share', async () => {
  await using folder = await temporaryFolder();
  const { status, stdout } = runFiles(join(folder.path, 'test', 'sharing'), {
    'first.test.ts':
      "import { before, test } from 'node:test';\nglobalThis.shared = 1;\n" +
      'let ran = false;\nbefore(() => { ran = true; });\n' +
      "test('hooks', () => { if (!ran) throw new Error('its hook did not run'); });",
    'second.test.ts':
      "import { test } from 'node:test';\ntest('shares', () => { if (globalThis.shared !== 1) throw new Error(); });",
    'third.test.ts':
      "// In a process of its own: it looks at globals.\nimport { test } from 'node:test';\n" +
      "test('does not share', () => { if (globalThis.shared === 1) throw new Error(); });",
  });
  assert.equal(status, 0, stdout);
  for (const name of ['hooks', 'shares', 'does not share'])
    assert.match(stdout, new RegExp(`^✔ ${name} `, 'm'));
});
