import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';

/**
 * Installs a package that lies in a folder of its own, so that `npm ci` stays quick; does nothing if that was done. npm
 * writes the copy of the lock file last, so an installation that was broken off is done again.
 */
export function installApart(folder: string, size: string): void {
  if (changedMs(`${folder}/node_modules/.package-lock.json`) >= changedMs(`${folder}/package-lock.json`))
    return;
  console.log(`installing ${folder} (${size}, once)`);
  run('npm', ['ci', '--omit=dev', '--no-audit', '--no-fund', '--prefix', folder]);
}

/** Runs a command on this terminal; ends this process with its status unless that is 0. */
export function run(command: string, args: readonly string[]): void {
  const { status, signal } = spawnSync(command, args, { stdio: 'inherit' });
  if (status !== 0) {
    console.error(`\n${command} ${args.slice(0, 3).join(' ')} ... ended with ${signal ?? status}`);
    process.exit(status ?? 1);
  }
}

/** Milliseconds since 1970 of the last change of a file; 0 if there is none. */
function changedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
