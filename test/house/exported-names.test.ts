import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ROOT } from '../support/processes.ts';

// One name, one thing: a reader who meets it, or searches for it, must not have to ask which one is meant.

const DECLARATION =
  /^export (?:declare |abstract |async )*(?:class|interface|type|const|function\*?|enum) (\w+)/gm;

/** Where each exported name is declared. `{ a, b } = ...` is not used in src. */
function declarations(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const file of globSync('src/**/*.ts', { cwd: ROOT })) {
    for (const [, name = ''] of readFileSync(`${ROOT}${file}`, 'utf8').matchAll(DECLARATION)) {
      // A set: overloads, and a value with a type of its own name.
      found.set(name, (found.get(name) ?? new Set()).add(file));
    }
  }
  return found;
}

test('no name is exported by two files for two things', () => {
  const all = declarations();
  assert.ok(all.size > 500, `only ${all.size} names found`);
  const twice = [...all].filter(([, files]) => files.size > 1);
  assert.deepEqual(
    twice.map(([name, files]) => `${name}: ${[...files].sort().join(', ')}`),
    [],
  );
});

test('public entry points list what they export', () => {
  const entries = globSync('src/{index,*/index}.ts', { cwd: ROOT });
  assert.ok(entries.length >= 4, `only ${entries}`);
  const everything = entries.filter((file) => /^export \*/m.test(readFileSync(`${ROOT}${file}`, 'utf8')));
  assert.deepEqual(everything, []);
});

test('the package has all that its parts have', async () => {
  const whole: object = await import('../../src/index.ts');
  const parts: object[] = await Promise.all([
    import('../../src/producer/index.ts'),
    import('../../src/consumer/index.ts'),
    import('../../src/server/index.ts'),
  ]);
  assert.deepEqual(
    [...new Set(parts.flatMap((part) => Object.keys(part)))].sort(),
    Object.keys(whole).sort(),
  );
  const listed = (file: string) =>
    [...readFileSync(`${ROOT}${file}`, 'utf8').matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(
      ([, list = '']) => list.split(',').map((each) => each.trim().replace(/^type /, '')),
    );
  const types = new Set(listed('src/index.ts'));
  for (const part of ['producer', 'consumer', 'server']) {
    assert.deepEqual(
      listed(`src/${part}/index.ts`).filter((name) => !types.has(name)),
      [],
      part,
    );
  }
});
