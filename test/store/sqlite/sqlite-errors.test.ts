import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toStoreError } from '../../../src/store/sqlite/sqlite-errors.ts';

/** As node:sqlite throws it. */
function sqliteError(message: string, errcode: number): Error {
  return Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode, errstr: message });
}

test('an error of SQLite is told in words, with what failed, and its number at the end', () => {
  for (const [message, errcode, storeClass, text] of [
    ['disk I/O error', 778, 'transient', 'commit: disk I/O error, writing failed (SQLite result code 778)'],
    ['database or disk is full', 13, 'full', 'commit: database or disk is full (SQLite result code 13)'],
    [
      'disk I/O error',
      4874,
      'full',
      'commit: disk I/O error, the index of the log could not grow (SQLite result code 4874)',
    ],
  ] as const) {
    const error = toStoreError(sqliteError(message, errcode), 'commit');
    assert.deepEqual([error.storeClass, error.message], [storeClass, text]);
  }
});
