/**
 * `npm test`: formatter, linter, types, then every test file with node's runner, whose summary comes last.
 * `npm test -- test/model` runs only the files below the given folders (or the given files).
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
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

const wanted = process.argv.slice(2);
if (wanted.length === 0) {
  run('node_modules/.bin/biome', ['check', '.', '--error-on-warnings']);
  run('node_modules/.bin/tsc', ['-p', 'tsconfig.json']);
}
const files = (wanted.length === 0 ? ['test'] : wanted).flatMap((path) =>
  path.endsWith('.ts') ? [path] : globSync(`${path}/**/*.test.ts`),
);
run(process.execPath, ['--test', '--test-reporter=spec', '--test-concurrency=2', ...files.sort()]);
