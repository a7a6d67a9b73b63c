import { spawnSync } from 'node:child_process';

/** Why files cannot be kept from growing here; null if they can. */
export function prlimitProblem(): string | null {
  if (process.platform !== 'linux') return 'prlimit is a Linux tool';
  if (spawnSync('prlimit', ['--version']).status !== 0) return 'there is no prlimit: install util-linux';
  return null;
}

const problem = prlimitProblem();

/** Options of a test that uses {@link limitFileSize}. */
export const needsPrlimit = problem === null ? {} : { skip: problem };

/** Writes of that process, by default this one, beyond that place of any file fail, pipes excepted. */
export function limitFileSize(bytes: number | 'unlimited', pid = process.pid): void {
  const args = ['--pid', String(pid), `--fsize=${bytes}:unlimited`];
  const { status, stderr, error } = spawnSync('prlimit', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`prlimit: ${error?.message ?? stderr}`);
}
