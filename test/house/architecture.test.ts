import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/processes.ts';
import { ALLOWED } from './import-rules.ts';

// Whoever looks for something begins with these two: they must not lead astray.
const DOCUMENTS = ['CONTRIBUTING.md', 'docs/architecture.md'];

const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');
const quoted = (text: string) => [...text.matchAll(/`([^`\s]+)`/g)].map(([, name]) => name!);
const sources = globSync('src/**/*.ts', { cwd: ROOT })
  .map((file) => read(file))
  .join('\n');

/** Whether there is such a function, or a class, and a method of that name in its file. */
function isDeclared(name: string): boolean {
  const [owner = '', method] = name.split('.');
  const at = new RegExp(`^(?:export )?(?:async )?(?:function\\*?|class|interface) ${owner}\\b`, 'm').exec(
    sources,
  )?.index;
  if (at === undefined) return false;
  const body = sources.slice(at, sources.indexOf('\n}', at));
  return method === undefined || new RegExp(`^  (?:async )?${method}\\(`, 'm').test(body);
}

test('every path that they name exists', () => {
  for (const document of DOCUMENTS) {
    const paths = quoted(read(document)).filter((name) => /^(?:src|test|scripts|docs|bench)\//.test(name));
    assert.ok(paths.length > 10, document);
    assert.deepEqual(
      paths.filter((path) => !existsSync(`${ROOT}${path}`)),
      [],
      document,
    );
  }
});

test('every file that they name without its folder exists', () => {
  const names = new Set(globSync('{src,test}/**/*.ts', { cwd: ROOT }).map((file) => posix.basename(file)));
  for (const document of DOCUMENTS) {
    const files = quoted(read(document)).filter((name) => /^[\w-]+\.ts$/.test(name));
    assert.deepEqual(
      files.filter((file) => !names.has(file)),
      [],
      document,
    );
  }
});

test('every class and function on the ways through the queue exists', () => {
  const [, ways = ''] =
    /\n## Two ways through the queue\n(.*?)\n## /s.exec(read('docs/architecture.md')) ?? [];
  const names = quoted(ways).filter((name) => /^[A-Z]\w+\.\w+$|^[a-z]+[A-Z]\w+$/.test(name));
  assert.ok(names.length > 25, `found only ${names}`);
  assert.deepEqual(
    names.filter((name) => !isDeclared(name)),
    [],
  );
});

test('the layout has every folder, and no other', () => {
  const folders = readdirSync(`${ROOT}src`).filter((name) => !name.endsWith('.ts'));
  const described = [...read('docs/architecture.md').matchAll(/^\| `src\/([a-z]+)` +\|/gm)].map(
    ([, name]) => name,
  );
  assert.deepEqual(described.toSorted(), folders.toSorted());
  assert.deepEqual(Object.keys(ALLOWED).toSorted(), folders.toSorted());
});
