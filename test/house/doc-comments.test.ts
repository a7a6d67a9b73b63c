import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');

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
