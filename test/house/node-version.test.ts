import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NODE_MAJOR_MIN } from '../../src/system/node-version.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Makes a Node.js of today pass for an old one. */
const asOld = [
  '--import',
  `data:text/javascript,${encodeURIComponent("Object.defineProperty(process.versions, 'node', { value: '20.20.2' })")}`,
];
const run = (args: readonly string[]) =>
  spawnSync(process.execPath, [...asOld, ...args], { cwd: root, encoding: 'utf8' });

test('the needed version is the same everywhere it is written', () => {
  const { engines } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
    engines: { node: string };
  };
  assert.equal(engines.node, `>=${NODE_MAJOR_MIN}`);
  assert.match(
    readFileSync(`${root}/bin/opsqueue.js`, 'utf8'),
    new RegExp(`NODE_MAJOR_MIN = ${NODE_MAJOR_MIN};`),
  );
});

test('the command says which version it needs', () => {
  const { status, stdout, stderr } = run(['bin/opsqueue.js', '--version']);
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^opsqueue: needs Node\.js 24 or newer, and this is 20\.20\.2 \(.+\); npm start .+\n$/,
  );
});

test('the command file has no syntax or import that an old version does not know', () => {
  const text = readFileSync(`${root}/bin/opsqueue.js`, 'utf8');
  assert.doesNotMatch(text, /\?\.|\?\?|^\s*await |'node:|#\w/m);
});

for (const entry of ['index', 'producer/index', 'consumer/index', 'server/index']) {
  test(`src/${entry}.ts says which version it needs, before anything else runs`, () => {
    const { status, stderr } = run([`src/${entry}.ts`]);
    assert.equal(status, 1);
    assert.match(stderr, /Error: opsqueue needs Node\.js 24 or newer, and this is 20\.20\.2/);
    const firstImport = /^(?:import|export) .*$/m.exec(readFileSync(`${root}/src/${entry}.ts`, 'utf8'));
    assert.match(firstImport?.[0] ?? '', /node-version\.ts/);
  });
}

test('the pinned version is first in the path of npm scripts', () => {
  const found = execFileSync('node_modules/.bin/node', ['--version'], { cwd: root, encoding: 'utf8' });
  assert.ok(Number(/^v(\d+)/.exec(found)?.[1]) >= NODE_MAJOR_MIN, found);
});
