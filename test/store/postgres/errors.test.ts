import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError } from '../../../src/store/errors.ts';
import { isSettled, postgresError } from '../../../src/store/postgres/errors.ts';

const failure = (code: string | undefined, message = 'it failed') =>
  Object.assign(new Error(message), code === undefined ? {} : { code });

test('what PostgreSQL, the network and TLS report is classed by its code: it passes, or it stops the queue', () => {
  for (const [storeClass, codes] of [
    ['full', ['53100']],
    ['corrupt', ['XX001', 'XX002', 'XX000', '23505', '42601', '42P01', '22021']],
    ['unusable', ['28P01', '28000', '3D000', '42501']],
    ['unusable', ['DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID']],
    ['unusable', ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'ERR_SSL_WRONG_VERSION_NUMBER']],
    ['transient', ['40001', '40P01', '57P01', '57P02', '57P03', '57014', '08006', '53300', '53200']],
    ['transient', ['25006', '25P03', '55P03', '58030']],
    ['transient', ['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'EPIPE', undefined]],
  ] as const) {
    for (const code of codes)
      assert.equal(postgresError(failure(code), 'x').storeClass, storeClass, `${code}`);
  }
  const login = failure(undefined, 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string');
  assert.equal(postgresError(login, 'x').storeClass, 'unusable');
});

test('only what the server itself refused did not take place for certain', () => {
  for (const code of ['23505', '40001', '53100', '25006', '42P01']) assert.ok(isSettled(failure(code)), code);
  for (const code of ['57P01', '57014', '08006', '58030', 'XX000', 'ECONNRESET', 'EPIPE', undefined]) {
    assert.ok(!isSettled(failure(code)), `${code}`);
  }
});

test('the message has all that is known: the errors of all addresses, and the code', () => {
  const both = new AggregateError([
    failure('ECONNREFUSED', 'refused ::1'),
    failure('ECONNREFUSED', 'refused 127.0.0.1'),
  ]);
  assert.equal(
    postgresError(both, 'db: cannot connect').message,
    'db: cannot connect: refused ::1; refused 127.0.0.1',
  );
  assert.equal(
    postgresError(failure('57P03', 'starting up'), 'db').message,
    'db: starting up (SQLSTATE 57P03)',
  );
  const ours = new StoreError('fenced', 'taken');
  assert.equal(postgresError(ours, 'db'), ours);
});
