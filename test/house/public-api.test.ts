import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withoutComments } from './import-rules.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');

/** The names that a module exports; those that are types only as `type Name`. */
function exportsOf(path: string): string[] {
  const code = withoutComments(read(path));
  assert.doesNotMatch(code, /export \*/, `${path} lists what it exports`);
  const names: string[] = [];
  for (const [, isType, list = ''] of code.matchAll(/export (type )?\{([^}]*)\}/g)) {
    for (const part of list.split(',')) {
      const text = part.trim();
      if (text === '') continue;
      const name = text.replace(/^type /, '').replace(/^.* as /, '');
      names.push(isType !== undefined || text.startsWith('type ') ? `type ${name}` : name);
    }
  }
  for (const [, kind, name = ''] of code.matchAll(
    /export (?:async )?(interface|type|function|class) (\w+)/g,
  )) {
    names.push(kind === 'interface' || kind === 'type' ? `type ${name}` : name);
  }
  return names;
}

test('src/index.ts lists all that the entry points of producer, consumer and server export, once', () => {
  const parts = ['producer', 'consumer', 'server'].flatMap((part) => exportsOf(`src/${part}/index.ts`));
  assert.ok(parts.length > 80);
  assert.deepEqual(exportsOf('src/index.ts').sort(), [...new Set(parts)].sort());
});

test('every public option and method has a doc comment, and options their defaults', () => {
  for (const path of ['src/producer/options.ts', 'src/producer/garbage.ts', 'src/contract/contract.ts']) {
    const text = read(path);
    for (const [, comment = '', name] of text.matchAll(
      /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/)?\n {2}readonly (\w+)\?:/g,
    )) {
      assert.ok(comment !== '', `${path}: ${name} has no doc comment`);
      if (name === 'signal' || name === 'onProgress' || name === 'onFolder') continue;
      assert.match(comment, /@defaultValue/, `${path}: ${name}`);
    }
  }
  for (const path of ['src/producer/client.ts', 'src/producer/submission.ts']) {
    const text = read(path);
    const methods = text.matchAll(/(\/\*\*(?:(?!\*\/)[\s\S])*\*\/)\n {2}(?:async )?(\w+)\(/g);
    for (const [, comment = '', name] of methods) {
      if (name !== 'constructor') assert.match(comment, /@example/, `${path}: ${name}`);
    }
  }
});
