import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { ROOT, TestProcess } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const run = promisify(execFile);
const FIXTURES = join(ROOT, 'test/e2e/fixtures/installed');
// npm runs on the Node.js that is first in the path; ours is.
const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` };
const node = (args: readonly string[], cwd: string) => new TestProcess(process.execPath, args, { cwd });

test('the packed package, installed alone, type-checks and runs as producer, queue and consumer', async () => {
  await using folder = await temporaryFolder();
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder.path], {
    cwd: ROOT,
    env,
  });
  const tarball = stdout.trim().split('\n').at(-1)!;

  const app = join(folder.path, 'app');
  await mkdir(app);
  await writeFile(join(app, 'package.json'), '{ "name": "app", "private": true, "type": "module" }');
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder.path, tarball)], {
    cwd: app,
    env,
  });
  assert.deepEqual((await readdir(join(app, 'node_modules/opsqueue'))).sort(), [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'bin',
    'dist',
    'docs',
    'package.json',
  ]);
  for (const file of await readdir(FIXTURES)) await copyFile(join(FIXTURES, file), join(app, file));

  await run(
    join(ROOT, 'node_modules/.bin/tsc'),
    ['-p', '.', '--typeRoots', join(ROOT, 'node_modules/@types')],
    {
      cwd: app,
    },
  ).catch((error: { stdout: string }) => assert.fail(error.stdout));

  await using queue = new TestProcess(
    join(app, 'node_modules/.bin/opsqueue'),
    ['--port', '0', '--database-filename', join(folder.path, 'q.db')],
    { cwd: app, env },
  );
  const [, port] = await queue.line(/ listens on http:\/\/[^ ]*:(\d+)/);
  const chunks = pathToFileURL(join(folder.path, 'chunks/')).href;
  await using consumer = node(['consumer.js', `localhost:${port}`, chunks], app);
  await using producer = node(['producer.js', `localhost:${port}`, chunks], app);
  await producer.line(/^ONE,TWO,THREE$/);
  assert.deepEqual(await producer.exit(), { code: 0, signal: null });
  assert.deepEqual(await consumer.kill('SIGTERM'), { code: 0, signal: null });
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });

  await using embedded = node(['embedded.js', chunks], app);
  await embedded.line(/^4,5,6$/);
  assert.deepEqual(await embedded.exit(), { code: 0, signal: null });

  for (const deep of ['opsqueue/dist/server/index.js', 'opsqueue/src/index.ts']) {
    const refused = node(['--eval', `await import('${deep}')`, '--input-type=module'], app);
    await refused.line(/ERR_PACKAGE_PATH_NOT_EXPORTED/);
    assert.equal((await refused.exit()).code, 1);
  }
});
