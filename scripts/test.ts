/**
 * `npm test`: formatter, linter, types, then every test file with node's runner, whose summary comes last.
 * `npm test -- test/model` runs only the files below the given folders (or the given files). A file that takes longer
 * than `OPSQUEUE_TEST_SECONDS` (default 180) is ended, and red.
 *
 * The object store tests need azurite, and the test of the package an old compiler, whose command has the name of the one
 * that we build with. They are packages of their own, so that `npm ci` stays quick, and are installed here, before any
 * test, because test files run side by side and two installations would tread on each other.
 */
import { spawnSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
// Most of a test file's time is reading a hundred TypeScript modules; so is that of the processes that it starts.
process.env.NODE_COMPILE_CACHE ??= `${root}node_modules/.cache/node`;

function run(command: string, args: readonly string[]): void {
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

/** npm writes the copy of the lock file last, so an installation that was broken off is done again. */
function install(folder: string, size: string): void {
  if (changedMs(`${folder}/node_modules/.package-lock.json`) >= changedMs(`${folder}/package-lock.json`))
    return;
  console.log(`installing ${folder} (${size}, once)`);
  run('npm', ['ci', '--omit=dev', '--no-audit', '--no-fund', '--prefix', folder]);
}

const wanted = process.argv.slice(2);
if (wanted.length === 0) {
  run('node_modules/.bin/biome', ['check', '.', '--error-on-warnings']);
  run('node_modules/.bin/tsc', ['-p', 'tsconfig.json']);
}
const files = (wanted.length === 0 ? ['test'] : wanted).flatMap((path) =>
  path.endsWith('.ts') ? [path] : globSync(`${path}/**/*.test.ts`),
);
const isWanted = (word: string) => files.some((file) => file.includes(word));
if (isWanted('objects')) install('test/azurite', '60 MB');
if (isWanted('e2e/package')) install('test/typescript-5.4', '34 MB');
// The servers of the tests are on this machine; Azure's SDK would ask a proxy of the environment for them.
for (const name of ['NO_PROXY', 'no_proxy']) {
  const hosts = [process.env[name] ?? '', '127.0.0.1', 'localhost'];
  process.env[name] = hosts.filter((host) => host !== '').join();
}
run(process.execPath, [
  '--test',
  '--test-reporter=spec',
  '--test-concurrency=2',
  `--import=${new URL('time-limit.ts', import.meta.url)}`,
  ...files.sort(),
]);
