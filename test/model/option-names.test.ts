import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { type OptionNames, refuseUnknownOptions, unknownOption } from '../../src/model/option-names.ts';

interface Options {
  readonly databaseFilename?: string | undefined;
  readonly heartbeatIntervalMs?: number | undefined;
  readonly hosts?: readonly string[] | undefined;
  readonly port?: number | undefined;
}
const names: OptionNames<Options> = {
  databaseFilename: true,
  heartbeatIntervalMs: true,
  hosts: true,
  port: true,
};
const refuse = (options: object) => refuseUnknownOptions<Options>(options, names);

test('the nearest name is suggested: cut short, without its unit, misspelt, in another case', () => {
  for (const [wrong, right] of [
    ['database', 'databaseFilename'],
    ['filename', 'databaseFilename'],
    ['heartbeatInterval', 'heartbeatIntervalMs'],
    ['heartbeat_interval_ms', 'heartbeatIntervalMs'],
    ['hartbeatIntervallMs', 'heartbeatIntervalMs'],
    ['host', 'hosts'],
    ['Port', 'port'],
    ['prot', 'port'],
  ] as const) {
    assert.equal(
      unknownOption(wrong, Object.keys(names)),
      `unknown option "${wrong}": did you mean "${right}"?`,
    );
  }
  assert.equal(
    unknownOption('colour', Object.keys(names)),
    'unknown option "colour": the options are databaseFilename, heartbeatIntervalMs, hosts, port',
  );
});

test('an option counts if it is the object’s own; names of every object are no options', () => {
  refuse({});
  refuse({ port: undefined, hosts: [] });
  refuse(Object.create({ inherited: 1 }, { port: { value: 1, enumerable: true } }));
  refuse(Object.assign(Object.create(null), { port: 1 }));
  for (const name of ['constructor', 'toString', 'hasOwnProperty', '__proto__']) {
    const options = Object.defineProperty({}, name, { value: 1, enumerable: true });
    assert.throws(() => refuse(options), new RegExp(`unknown option "${name}"`));
  }
  assert.throws(() => refuse({ database: 'x.db' }), IncorrectUsageError);
  // Left out, as where a program hands on what it was given.
  refuse({ database: undefined });
});
