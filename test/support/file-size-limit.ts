import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

/** For tests that need {@link limitFileSize}. */
export const linuxOnly = process.platform === 'linux' ? {} : { skip: 'prlimit is a Linux tool' };

/** Writes of this process beyond that place of any file fail, pipes excepted. */
export function limitFileSize(bytes: number | 'unlimited'): void {
  const args = ['--pid', String(process.pid), `--fsize=${bytes}:unlimited`];
  const { status, stderr } = spawnSync('prlimit', args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}
