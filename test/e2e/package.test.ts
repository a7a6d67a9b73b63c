import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { ROOT, TestProcess } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const ENTRIES = [
  'opsqueue',
  'opsqueue/producer',
  'opsqueue/consumer',
  'opsqueue/server',
  'opsqueue/store',
  'opsqueue/store/conformance',
];
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

  await compiles(app, [
    join(ROOT, 'node_modules/.bin/tsc'),
    '--typeRoots',
    join(ROOT, 'node_modules/@types'),
  ]);
  // The lowest version that README.md names.
  const old = join(ROOT, 'test/typescript-5.4/node_modules');
  await compiles(app, [
    process.execPath,
    join(old, 'typescript/bin/tsc'),
    '--typeRoots',
    join(old, '@types'),
  ]);

  await using queue = new TestProcess(
    join(app, 'node_modules/.bin/opsqueue'),
    ['--port', '0', '--database-filename', join(folder.path, 'q.db')],
    { cwd: app, env },
  );
  const [, port] = await queue.line(/ listens on http:\/\/[^ ]*:(\d+)/);
  await servesItsPage(`http://localhost:${port}/`);
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

  // A store of one's own passes the suite that comes with the package, and a wrong one does not.
  const conformance = (...args: string[]) => node(['--test-reporter=tap', '--test', ...args], app);
  await using suite = conformance('toy-conformance.js');
  await suite.line(/^# pass [3-9]\d$/);
  assert.deepEqual(await suite.exit(), { code: 0, signal: null }, suite.output('stdout'));
  const wrong = (await readFile(join(app, 'toy-store.js'), 'utf8')).replace('row.end ??= ', 'row.end = ');
  await writeFile(join(app, 'toy-store.js'), wrong);
  await using broken = conformance('toy-conformance.js');
  await broken.line(/^ +not ok .*the first end stays/);
  assert.equal((await broken.exit()).code, 1);

  await oldNode(app);
  await bundles(app, join(folder.path, 'bundled'), chunks);

  for (const deep of ['opsqueue/dist/server/index.js', 'opsqueue/src/index.ts']) {
    const refused = node(['--eval', `await import('${deep}')`, '--input-type=module'], app);
    await refused.line(/ERR_PACKAGE_PATH_NOT_EXPORTED/);
    assert.equal((await refused.exit()).code, 1);
  }
});

/** The programs in `app` have no type error, and neither have the package's declarations. */
async function compiles(app: string, [command = '', ...args]: readonly string[]): Promise<void> {
  await run(command, [...args, '-p', '.'], { cwd: app }).catch((error: { stdout: string }) =>
    assert.fail(error.stdout),
  );
}

/** The page came with the package, with its files, compressed ahead. */
async function servesItsPage(url: string): Promise<void> {
  const html = await (await fetch(url)).text();
  const files = [...html.matchAll(/"(assets\/[^"]+)"/g)].map(([, file]) => file!);
  assert.equal(files.length, 2, html);
  for (const file of files) {
    const answer = await fetch(new URL(file, url), { headers: { 'accept-encoding': 'br' } });
    assert.deepEqual([answer.status, answer.headers.get('content-encoding')], [200, 'br']);
    assert.ok((await answer.text()).length > 100);
  }
}

/** An old Node.js sees other entries: they say which version is needed, and are all that it has to understand. */
async function oldNode(app: string): Promise<void> {
  const old = ['--no-experimental-require-module'];
  const version = "Object.defineProperty(process.versions, 'node', { value: '16.20.2' });";
  const asOld = [...old, '--import', `data:text/javascript,${encodeURIComponent(version)}`];
  const needs = /^Error: opsqueue needs Node\.js 24\.9\.0 or newer, and this is 16\.20\.2/;
  const loads = ENTRIES.flatMap((name) => [
    `await import('${name}')`,
    `createRequire('${app}/x.js')('${name}')`,
  ]);
  const tries = loads.map(
    (load) => `try { ${load}; console.log(1); } catch (error) { console.log(String(error)); }`,
  );
  const asModule = ['--input-type=module', '--eval'];
  const code = `import { createRequire } from 'node:module'; ${tries.join('\n')}`;
  const refused = node([...asOld, ...asModule, code], app);
  await refused.exit();
  const said = refused.output('stdout').trim().split('\n');
  assert.equal(said.length, loads.length, refused.output('stderr'));
  for (const [i, line] of said.entries()) assert.match(line, needs, `${loads[i]}: ${line}`);
  const uncaught = node([...asOld, ...asModule, loads[0]!], app);
  await uncaught.line(needs);
  assert.equal((await uncaught.exit()).code, 1);
  // Jest asks for the same entries.
  const imports = ENTRIES.map((name, i) => `import * as entry${i} from '${name}';`);
  const names = ENTRIES.map((_, i) => `console.log(Object.keys(entry${i}).length);`);
  const passed = node([...old, ...asModule, [...imports, ...names].join('\n')], app);
  assert.equal((await passed.exit()).code, 0, passed.output('stderr'));
  assert.match(passed.output('stdout'), new RegExp(`^(?:[1-9]\\d*\n){${ENTRIES.length}}$`));
  for (const file of await readdir(join(app, 'node_modules/opsqueue/dist/old-node'))) {
    const text = await readFile(join(app, 'node_modules/opsqueue/dist/old-node', file), 'utf8');
    assert.deepEqual(
      [...text.matchAll(/^(?:import|export) .*from .*|^import '.*/gm)].map(([line]) => line),
      file.endsWith('.js') ? ["import '../system/entry/node-version.js';"] : [],
    );
    assert.doesNotMatch(text, /\?\.|\?\?|\?\?=|#\w/);
  }
}

/** What a bundler without any setting makes of the programs runs alone, without the packages. */
async function bundles(app: string, bundled: string, chunks: string): Promise<void> {
  const pool = `
    import { ConsumerClient } from 'opsqueue/consumer';
    const consumer = new ConsumerClient('localhost:1', 'file:///tmp/');
    await consumer.runEachOp(new URL('./work.js', import.meta.url)).catch((error) => console.log(error.message));`;
  await writeFile(join(app, 'pool.ts'), pool);
  await build({
    absWorkingDir: app,
    entryPoints: ['embedded.ts', 'producer.ts', 'pool.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outdir: bundled,
    outExtension: { '.js': '.mjs' },
    logLevel: 'error',
  });
  const common = `
    const { ConsumerClient, OpsqueueError, ProducerClient, startServer } = require('opsqueue');
    ${(await readFile(join(app, 'embedded.ts'), 'utf8')).replace(/^import .*/m, 'void (async () => {')} })();`;
  await writeFile(join(app, 'common.ts'), common);
  await build({
    absWorkingDir: app,
    entryPoints: ['common.ts'],
    bundle: true,
    platform: 'node',
    outdir: bundled,
    outExtension: { '.js': '.cjs' },
    logLevel: 'error',
  });
  for (const file of ['embedded.mjs', 'common.cjs']) {
    await using embedded = node([file, chunks], bundled);
    await embedded.line(/^4,5,6$/);
    assert.deepEqual(await embedded.exit(), { code: 0, signal: null }, file);
  }
  // What the package did not find in the app is named only when it is needed.
  await using producer = node(['producer.mjs', 'localhost:1', 's3://bucket/'], bundled);
  await producer.line(/npm install @aws-sdk\/client-s3@3/);
  assert.equal((await producer.exit()).code, 1);
  await using refused = node(['pool.mjs'], bundled);
  await refused.line(/^a callback's module needs the package as it is installed/);
  await refused.exit();
}
