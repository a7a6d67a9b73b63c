import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logLevel, TerminalLogger } from '../../src/cli/log/log.ts';
import { systemClock } from '../../src/system/time/clock.ts';

test('the level comes from OPSQUEUE_LOG, info where it says nothing', () => {
  assert.deepEqual([undefined, '', 'WARN', 'silent', 'loud'].map(logLevel), [
    'info',
    'info',
    'warn',
    'silent',
    null,
  ]);
});

test('a terminal gets a line for people, whatever the fields hold', () => {
  const lines: string[] = [];
  const logger = new TerminalLogger('info', { write: (text) => lines.push(text) }, systemClock);
  logger.debug({}, 'too much');
  logger.info(
    { id: 7216308450426880001n, error: new Error('no\nspace'), list: [1, 'x'], word: 'a b' },
    'done',
  );
  assert.equal(lines.length, 1);
  assert.match(
    lines[0]!,
    /^\d\d:\d\d:\d\d info {2}done id=7216308450426880001 error="no\\nspace" list=\[ 1, 'x' \] word='a b'\n$/,
  );
});

test('what clients wrote cannot steer the terminal', () => {
  const lines: string[] = [];
  const logger = new TerminalLogger('info', { write: (text) => lines.push(text) }, systemClock);
  const failure = '\x1b[2J\u009b31mgone\u202e';
  logger.warn({ failure, error: new Error(failure), nested: { failure } }, 'submission failed');
  assert.doesNotMatch(lines[0]!, /[\p{Cc}\p{Bidi_Control}](?!$)/u);
  assert.match(lines[0]!, /failure='\\x1B\[2J\\x9B31mgone\\u202e' error=/);
});
