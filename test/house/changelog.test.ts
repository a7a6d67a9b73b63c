import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const changelog = readFileSync(new URL('../../CHANGELOG.md', import.meta.url), 'utf8');
const [, ...releases] = changelog.split(/^## /m);

/** The entries of a part of the changelog, each in one line. */
function entriesOf(part: string): string[] {
  return part
    .split(/^- /m)
    .slice(1)
    .map((entry) =>
      entry
        .split(/\n(?=\n|#)/)[0]!
        .replaceAll(/\s+/g, ' ')
        .trim(),
    );
}

test('each entry of CHANGELOG.md is below Added, Changed, Fixed or Removed of its release, and there once', () => {
  for (const release of releases) {
    const [beginning = '', ...sections] = release.split(/^### /m);
    assert.deepEqual(entriesOf(beginning), [], 'put these below a section');
    for (const section of sections) assert.match(section, /^(?:Added|Changed|Fixed|Removed)\n/);
    const entries = entriesOf(release);
    assert.deepEqual(
      entries.filter((entry, i) => entries.indexOf(entry) !== i),
      [],
    );
  }
});

test('CHANGELOG.md tells of no fault that no release ever had', () => {
  // The list that was here before is sometimes merged back in: keep only your own entry then, below its section.
  const [unreleased = ''] = releases;
  assert.deepEqual(
    entriesOf(unreleased).filter((entry) => /\bbefore,/i.test(entry) || entry.startsWith('First shape')),
    [],
  );
});
