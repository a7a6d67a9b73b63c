import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import {
  checkedSettings,
  defaultText,
  SETTINGS,
  type Setting,
  settingHelp,
} from '../../src/server/settings.ts';
import { runCommand } from '../support/command.ts';
import { ROOT } from '../support/processes.ts';

// src/server/settings.ts is the one truth: what the documents and the doc comments say of a setting is compared with it.

const settings = Object.entries<Setting>(SETTINGS);
const longFlag = ({ flag }: Setting) => /--[a-z-]+/.exec(flag)![0];
const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');
const plain = (text: string) => text.replaceAll('`', '');

suite('every setting', () => {
  test('has a row in docs/operations.md, which begins with its help', () => {
    const rows = [
      ...read('docs/operations.md').matchAll(/^\| (?:`-\w`, )?`(--[a-z-]+)` \|(.*?) \| (.+) \|$/gm),
    ];
    const documented = new Map(
      rows.map(([, flag, value, meaning]) => [
        flag!,
        { value: plain(value!).trim(), meaning: plain(meaning!) },
      ]),
    );
    for (const [, setting] of settings) {
      const row = documented.get(longFlag(setting));
      assert.equal(row?.value, defaultText(setting) ?? '', longFlag(setting));
      assert.ok(row?.meaning.startsWith(settingHelp(setting)), `${row?.meaning}\n${settingHelp(setting)}`);
    }
    // Nothing is documented that is not there.
    const ofCommand = ['--report-bound-port-pipe', '--max-read-pool-size'];
    assert.deepEqual(
      [...documented.keys()].sort(),
      [...settings.map(([, setting]) => longFlag(setting)), ...ofCommand].sort(),
    );
  });

  test('has a doc comment with its default', () => {
    const source = read('src/server/options.ts');
    for (const [name, setting] of settings) {
      const [, value] =
        new RegExp(`@defaultValue (.+)\\n   \\*/\\n  readonly ${name}\\?:`).exec(source) ?? [];
      const wanted =
        defaultText(setting) === null || setting.kind === 'hosts' ? /^(?:none.*|127\.0\.0\.1 .*::1)$/ : null;
      if (wanted === null) assert.equal(value, defaultText(setting), name);
      else assert.match(value ?? '', wanted, name);
    }
  });

  test('has a flag with its help and its default', async () => {
    const help = (await runCommand(['serve', '--help'])).stdout.replace(/\n {10,}/g, ' ');
    for (const [, setting] of settings) {
      const line = help.split('\n').find((each) => each.trimStart().startsWith(setting.flag));
      const value = defaultText(setting);
      const wanted = `${settingHelp(setting)}${value === null ? '' : ` (default: ${value})`}`;
      assert.ok(line?.endsWith(` ${wanted}`), `${line}\n${wanted}`);
    }
  });

  test('has the default that its text says', () => {
    const defaults = checkedSettings({});
    assert.equal(defaults.reservationExpirationMs, 600_000);
    assert.equal(defaults.bodyBytesMax, 32 * 1024 * 1024);
    assert.equal(defaults.idleConnectionMs, 125_000);
    assert.deepEqual([defaults.hosts, defaults.hostNames], [undefined, []]);
  });
});
