import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withoutComments } from './import-rules.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Codes in the sources: given to `super`, or members of the unions of codes. */
function codesInSources(): Map<string, string> {
  const codes = new Map<string, string>();
  for (const file of globSync('src/**/*.ts', { cwd: root })) {
    const code = withoutComments(readFileSync(`${root}/${file}`, 'utf8'));
    const add = (name: string) => codes.set(name, file);
    for (const match of code.matchAll(/\bsuper\(\s*'([A-Z][A-Z_]+)'/g)) add(match[1]!);
    for (const match of code.matchAll(/\bnew OpsqueueError\(\s*'([A-Z][A-Z_]+)'/g)) add(match[1]!);
    for (const union of code.matchAll(/type \w*ErrorCode =([^;]+);/g)) {
      for (const member of union[1]!.matchAll(/'([A-Z][A-Z_]+)'/g)) add(member[1]!);
    }
    for (const union of code.matchAll(/type StoreErrorClass =([^;]+);/g)) {
      for (const member of union[1]!.matchAll(/'([a-z]+)'/g)) add(`STORE_${member[1]!.toUpperCase()}`);
    }
  }
  return codes;
}

const documented = new Set(
  [...readFileSync(`${root}/docs/errors.md`, 'utf8').matchAll(/^\| `([A-Z][A-Z_]+)` \|/gm)].map((m) => m[1]!),
);
const codes = codesInSources();

test('every error code is in docs/errors.md', () => {
  assert.ok(codes.size >= 20, `found only ${[...codes.keys()]}`);
  assert.deepEqual(
    [...codes].filter(([code]) => !documented.has(code)),
    [],
  );
});

test('docs/errors.md tells of no error that does not exist', () => {
  assert.deepEqual(
    [...documented].filter((code) => !codes.has(code)),
    [],
  );
});

test('every error class is named in docs/errors.md', () => {
  const text = readFileSync(`${root}/docs/errors.md`, 'utf8');
  const classes = globSync('src/**/*.ts', { cwd: root }).flatMap((file) =>
    [
      ...readFileSync(`${root}/${file}`, 'utf8').matchAll(/export class (\w+Error) extends OpsqueueError/g),
    ].map((m) => m[1]!),
  );
  assert.ok(classes.length >= 10, `found only ${classes}`);
  assert.deepEqual(
    classes.filter((name) => !text.includes(`\`${name}\``)),
    [],
  );
});
