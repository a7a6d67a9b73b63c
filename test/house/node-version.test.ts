import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NODE_VERSION_MIN } from '../../src/system/entry/node-version.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const moduleOf = (source: string) => `data:text/javascript,${encodeURIComponent(source)}`;
/** What Node.js 20 has of `node:zlib`, as far as we use it. */
const OLD_ZLIB = moduleOf(
  "import z from 'node:zlib'; export default z; export const { crc32, createGzip, constants } = z;",
);
/** Makes a Node.js of today pass for another one, which has no names that came later. */
const as = (version: string) => [
  '--import',
  moduleOf(`
    import { registerHooks } from 'node:module';
    Object.defineProperty(process.versions, 'node', { value: '${version}' });
    registerHooks({
      resolve: (name, context, next) =>
        name === 'node:zlib' && !context.parentURL?.startsWith('data:')
          ? { url: ${JSON.stringify(OLD_ZLIB)}, shortCircuit: true }
          : next(name, context),
    });
  `),
];
const run = (args: readonly string[], version = '20.20.2') =>
  spawnSync(process.execPath, [...as(version), ...args], { cwd: root, encoding: 'utf8' });

test('the needed version is the same everywhere it is written', () => {
  const { engines } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
    engines: { node: string };
  };
  assert.equal(engines.node, `>=${NODE_VERSION_MIN}`);
  assert.match(
    readFileSync(`${root}/bin/opsqueue.js`, 'utf8'),
    new RegExp(`NODE_VERSION_MIN = '${NODE_VERSION_MIN.replaceAll('.', '\\.')}';`),
  );
});

test('the command says which version it needs', () => {
  const { status, stdout, stderr } = run(['bin/opsqueue.js', '--version']);
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^opsqueue: needs Node\.js 24\.9\.0 or newer, and this is 20\.20\.2 \(.+\); npm start .+\n$/,
  );
});

test('a Node.js is too old by its minor version as well', () => {
  for (const [version, status] of [
    ['24.8.9', 1],
    ['24.9.0', 0],
    ['24.10.0', 0],
    ['25.0.0', 0],
  ] as const) {
    assert.equal(run(['bin/opsqueue.js', '--version'], version).status, status, version);
    assert.equal(run(['src/system/entry/node-version.ts'], version).status, status, version);
  }
});

test('every npm script says which version it needs', () => {
  const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
    scripts: Record<string, string>;
  };
  for (const [name, command] of Object.entries(scripts)) {
    // What starts no Node.js, another script, or the command, which looks for itself.
    if (!/^node (?!bin\/opsqueue\.js)/.test(command)) continue;
    assert.match(command, /^node scripts\/node-version\.js && node /, name);
  }
  const { status, stderr } = run(['scripts/node-version.js']);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^opsqueue: needs Node\.js 24\.9\.0 or newer, and this is 20\.20\.2 \(.+\); npm scripts .+ npm rebuild node .+\n$/,
  );
  assert.equal(run(['scripts/node-version.js'], '24.8.9').status, 1);
  assert.equal(run(['scripts/node-version.js'], '24.9.0').status, 0);
});

for (const file of ['bin/opsqueue.js', 'scripts/node-version.js']) {
  test(`${file} has no syntax or import that an old version does not know`, () => {
    const text = readFileSync(`${root}/${file}`, 'utf8').replaceAll(/#!.*/g, '');
    assert.doesNotMatch(text, /\?\.|\?\?|^\s*await |'node:|#\w/m);
  });
}

for (const entry of ['index', 'producer/index', 'consumer/index', 'server/index']) {
  test(`src/${entry}.ts says which version it needs, before anything else runs`, () => {
    const { status, stderr } = run([`src/${entry}.ts`]);
    assert.equal(status, 1);
    assert.match(stderr, /Error: opsqueue needs Node\.js 24\.9\.0 or newer, and this is 20\.20\.2/);
    const firstImport = /^(?:import|export) .*$/m.exec(readFileSync(`${root}/src/${entry}.ts`, 'utf8'));
    assert.match(firstImport?.[0] ?? '', /node-version\.ts/);
  });
}

test('the pinned version is first in the path of npm scripts', () => {
  const found = execFileSync('node_modules/.bin/node', ['--version'], { cwd: root, encoding: 'utf8' });
  assert.ok(Number(/^v(\d+)/.exec(found)?.[1]) > Number.parseInt(NODE_VERSION_MIN, 10), found);
});
