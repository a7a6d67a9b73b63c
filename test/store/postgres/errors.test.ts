import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError } from '../../../src/store/errors.ts';
import {
  CannotBeSent,
  connectError,
  isSettled,
  NotReplicated,
  postgresError,
  TakesNoWrites,
} from '../../../src/store/postgres/errors.ts';

const failure = (code: string | undefined, message = 'it failed') =>
  Object.assign(new Error(message), code === undefined ? {} : { code });

test('what PostgreSQL, the network and TLS report is classed by its code: it passes, or it stops the queue', () => {
  for (const [storeClass, codes] of [
    ['full', ['53100']],
    [
      'corrupt',
      ['XX001', 'XX002', '23505', '42601', '42P01', '22021', '0A000', '54000', '3F000', '21000', '44000'],
    ],
    ['unusable', ['28P01', '28000', '3D000', '42501']],
    ['transient', ['40001', '40P01', '57P01', '57P02', '57P03', '57014', '08006', '53300', '53200']],
    ['transient', ['25006', '25P03', '55P03', '58030', '40003', '01000']],
    // What is none of these, or of no list at all, is tried again: it says nothing of what is stored.
    [
      'transient',
      ['XX000', '25P02', '26000', '34000', '38000', '72000', 'P0001', 'F0001', 'HV000', 'U0001', 'ZZ999'],
    ],
    ['transient', ['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'EPIPE', undefined]],
    // A link that broke, not one that was refused.
    ['transient', ['ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC', 'ERR_SSL_UNEXPECTED_EOF_WHILE_READING']],
  ] as const) {
    for (const code of codes)
      assert.equal(postgresError(failure(code), 'x').storeClass, storeClass, `${code}`);
  }
});

test('a connection that is refused because of the configuration stops the queue; one of several servers may be wrong', () => {
  const refused = (...errors: unknown[]) =>
    connectError(
      'db',
      errors.map((error, i) => ({ server: `h${i}:5432`, error })),
    );
  const login = failure(undefined, 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string');
  const unusable = ['DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID'].concat(
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'ERR_SSL_WRONG_VERSION_NUMBER',
    '28P01',
    '3D000',
    '42704',
  );
  for (const error of [...unusable.map((code) => failure(code)), login]) {
    assert.equal(refused(error).storeClass, 'unusable', error.message);
    assert.equal(refused(error, error).storeClass, 'unusable', error.message);
    assert.equal(refused(error, failure('ECONNREFUSED')).storeClass, 'transient', error.message);
  }
  for (const code of [
    'ERR_SSL_UNEXPECTED_EOF_WHILE_READING',
    'ECONNRESET',
    '57P03',
    '53300',
    '53100',
    undefined,
  ]) {
    assert.equal(refused(failure(code)).storeClass, 'transient', `${code}`);
  }
  assert.equal(
    refused(failure('28P01', 'wrong password'), new TakesNoWrites()).message,
    'db: cannot connect: h0:5432: wrong password (SQLSTATE 28P01); ' +
      'h1:5432: the server takes no writes: it is a standby, or set to read-only',
  );
});

test('only what the server itself refused did not take place for certain', () => {
  for (const code of ['23505', '40001', '53100', '25006', '42P01']) assert.ok(isSettled(failure(code)), code);
  for (const code of [
    '57P01',
    '57014',
    '08006',
    '58030',
    'XX000',
    'P0001',
    'U0001',
    '72000',
    '40003',
    'ECONNRESET',
    'EPIPE',
    undefined,
  ]) {
    assert.ok(!isSettled(failure(code)), `${code}`);
  }
  assert.ok(!isSettled(new NotReplicated()));
  assert.ok(isSettled(new CannotBeSent(new TypeError('detached'))));
  assert.equal(postgresError(new CannotBeSent(new TypeError('detached')), 'x').storeClass, 'corrupt');
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
  assert.equal(postgresError(failure('U0001', 'not today'), 'db').message, 'db: not today (SQLSTATE U0001)');
  const ours = new StoreError('fenced', 'taken');
  assert.equal(postgresError(ours, 'db'), ours);
});

test('a session that is not what it was says nothing of what is stored, and may be of a pooler', () => {
  for (const code of ['08P01', '26000', '42P05']) {
    const { storeClass, message } = postgresError(failure(code), 'a commit failed');
    assert.equal(storeClass, 'transient', code);
    const hint = 'is a pooler in transaction mode in between? sessions are needed';
    assert.equal(message, `a commit failed: it failed (SQLSTATE ${code}; ${hint})`);
  }
});

test('a server that has no TLS, or wants it, says so with the parameter that helps', () => {
  const reason = (error: Error) => connectError('db', [{ server: 'a', error }]).message;
  assert.equal(
    reason(failure(undefined, 'The server does not support SSL connections')),
    'db: cannot connect: the server offers no TLS, which sslmode asks for (sslmode=disable does without)',
  );
  const entry = 'no pg_hba.conf entry for host "10.0.0.7", user "q", database "q", no encryption';
  assert.equal(
    reason(failure('28000', entry)),
    `db: cannot connect: ${entry} (SQLSTATE 28000; sslmode=require asks for TLS)`,
  );
  const other = 'no pg_hba.conf entry for host "10.0.0.7", user "q", database "q", SSL encryption';
  assert.equal(reason(failure('28000', other)), `db: cannot connect: ${other} (SQLSTATE 28000)`);
});
