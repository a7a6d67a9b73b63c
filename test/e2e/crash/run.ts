/**
 * `npm run test:crash [-- --minutes M --seed N]`: the crash tests of `npm test` for longer, from a fresh seed, and those
 * that need a C compiler or prlimit. Status 0: everything that could run passed. What could not run is said.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MINUTES_VARIABLE, SEED_VARIABLE } from '../../support/crash/budget.ts';
import { shimProblem } from '../../support/crash/disk-shim.ts';
import { prlimitProblem } from '../../support/store/file-size-limit.ts';

const MINUTES_DEFAULT = '10';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: MINUTES_DEFAULT },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});
for (const [name, value] of Object.entries(values)) {
  if (!Number.isFinite(Number(value)) || Number(value) < 0 || value.trim() === '') {
    console.error(`--${name}: ${value} is no number`);
    process.exit(2);
  }
}

process.chdir(fileURLToPath(new URL('../../..', import.meta.url)));
const missing = [shimProblem(), prlimitProblem()].filter((problem) => problem !== null);
const files = [
  ...globSync('test/e2e/crash/*.test.ts'),
  'test/store/sqlite/power-loss.test.ts',
  'test/store/sqlite/faults.test.ts',
  'test/store/sqlite/write-errors.test.ts',
  ...(shimProblem() === null ? globSync('test/e2e/crash/*.crash.ts') : []),
];
const say = () => {
  for (const problem of missing) console.error(`NOT ALL OF THE CRASH TESTS RUN: ${problem}`);
};
say();
console.log(`about ${values.minutes} minutes, seed ${values.seed}`);
const { status } = spawnSync(
  process.execPath,
  ['--test', '--test-reporter=spec', '--test-concurrency=1', ...files.sort()],
  {
    stdio: 'inherit',
    env: {
      NODE_COMPILE_CACHE: 'node_modules/.cache/node',
      ...process.env,
      [MINUTES_VARIABLE]: values.minutes,
      [SEED_VARIABLE]: values.seed,
    },
  },
);
say();
process.exitCode = status ?? 1;
