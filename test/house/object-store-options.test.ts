import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { OBJECT_STORE_OPTION_NAMES } from '../../src/objects/option-names.ts';
import { ROOT } from '../support/processes.ts';

const READS =
  /\b(?:options|reader|new OptionReader\([^)]*\))\s*\.(?:text|flag|integer|durationMs)\(([^)]*)\)/g;
/** Names that are handed to a function of ours that reads them. */
const PASSED_ON = /\bchecksums\(options, '(\w+)'\)/g;

test('every option that an object store reads is in docs/object-stores.md', () => {
  const documented = readFileSync(`${ROOT}docs/object-stores.md`, 'utf8');
  const names = new Set<string>();
  for (const file of globSync(`${ROOT}src/objects/**/*.ts`)) {
    const source = readFileSync(file, 'utf8');
    for (const [, read = ''] of source.matchAll(READS))
      for (const [, name = ''] of read.matchAll(/'(\w+)'/g)) names.add(name);
    for (const [, name = ''] of source.matchAll(PASSED_ON)) names.add(name);
  }
  assert.ok(names.size > 50, `only ${names.size} names found`);
  assert.deepEqual([...OBJECT_STORE_OPTION_NAMES].sort(), [...names].sort());
  // The table names the forms without `storage_` in one go.
  const bare = new Set(['client_id', 'client_secret', 'tenant_id', 'authority_id']);
  const missing = [...names].filter((name) => !bare.has(name) && !documented.includes(`\`${name}\``));
  assert.deepEqual(missing, []);
});
