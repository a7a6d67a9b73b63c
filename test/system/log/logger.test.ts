import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { loggerOf, silentLogger } from '../../../src/system/log/logger.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';

test('a client without a logger warns once of each kind, with its fields', async () => {
  const logger = loggerOf(undefined);
  const warnings: string[] = [];
  const listen = ({ name, message }: Error) => warnings.push(`${name}: ${message}`);
  process.on('warning', listen);
  const last = once(process, 'warning');
  logger.debug({}, 'a detail');
  logger.info({}, 'news');
  logger.warn({ url: 'http://q', reason: 'it is "down"', attempts: 1, stack: 'x', of: null }, 'no queue');
  logger.warn({ url: 'http://q', attempts: 2 }, 'no queue');
  logger.warn({}, 'waiting (2 ms)');
  logger.warn({}, 'waiting (3 ms)');
  logger.error({ error: new Error('broken'), cause: { a: 1 }, text: '\x1b[2J' }, 'lost');
  await last;
  await new Promise(setImmediate);
  process.off('warning', listen);
  assert.deepEqual(warnings, [
    'OpsqueueWarning: no queue url=http://q reason="it is \\"down\\"" attempts=1',
    'OpsqueueWarning: waiting (2 ms)',
    'OpsqueueWarning: lost error=broken cause="{\\"a\\":1}" text="\\u001b[2J"',
  ]);
});

test('null is silent, a logger is itself', () => {
  const own = recordingLogger();
  assert.equal(loggerOf(null), silentLogger);
  assert.equal(loggerOf(own), own);
});
