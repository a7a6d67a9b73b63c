import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { CHUNK_NAME_PATTERN, chunkKey, encodeName } from '../../src/objects/keys.ts';

describe('keys of chunk bodies', () => {
  test('are PREFIX/INDEX-in.bin and PREFIX/INDEX-out.bin', () => {
    assert.equal(
      chunkKey('0197a6c0-0000-7000-8000-000000000000', 0, 'in'),
      '0197a6c0-0000-7000-8000-000000000000/0-in.bin',
    );
    assert.equal(chunkKey('p', 4_294_967_295, 'out'), 'p/4294967295-out.bin');
    assert.match(chunkKey('p', 4_294_967_295, 'out').slice(2), CHUNK_NAME_PATTERN);
  });

  test('map odd prefixes of old producers as the original does', () => {
    assert.equal(chunkKey('é~', 1, 'in'), '%C3%A9%7E/1-in.bin');
    assert.equal(chunkKey('/a//b/', 1, 'in'), 'a/b/1-in.bin');
    assert.equal(chunkKey('a b+c', 1, 'in'), 'a b+c/1-in.bin');
    assert.equal(chunkKey('100%', 1, 'in'), '100%25/1-in.bin');
    assert.equal(encodeName('a/./..//\u0000\u007f'), 'a/%2E/%2E%2E/%00%7F');
  });

  test('refuse a prefix that leaves the folder of the store', () => {
    for (const prefix of ['', '/', '..', '../x', 'a/../../x', './a', 'x'.repeat(1001)]) {
      assert.throws(() => chunkKey(prefix, 0, 'in'), IncorrectUsageError, JSON.stringify(prefix));
    }
  });
});
