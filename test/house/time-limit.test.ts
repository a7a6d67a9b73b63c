import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
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
  const files = Object.entries(FILES).map(([name, text]) => {
    const file = join(folder.path, name);
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
  assert.notEqual(status, 0, stdout);
  for (const name of ['loops.test.ts', 'open.test.ts']) {
    assert.match(stdout + stderr, new RegExp(`${name}: not over after 4 s, ended`));
    assert.match(stdout, new RegExp(`✖ .*${name}`));
  }
  assert.match(stdout, /✔ is quick/);
  assert.doesNotMatch(stdout, /✖ .*quick\.test\.ts/);
});
