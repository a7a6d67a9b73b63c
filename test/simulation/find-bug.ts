/** `node find-bug.ts NAME`: plants the bug and runs seeds until one fails. Ends with 0 if it was found. */
import { BUGS } from './bugs/bugs.ts';
import { simulate } from './world.ts';

const SEEDS_MAX = 200;
const STEPS = 1_000;

const bug = BUGS.find(({ name }) => name === process.argv[2]);
if (bug === undefined) throw new Error(`no bug is called ${process.argv[2]}`);
bug.plant();
for (let seed = 1; seed <= SEEDS_MAX; seed++) {
  try {
    await simulate(seed, STEPS);
  } catch (error) {
    console.log(`found: ${error instanceof Error ? error.message.split('\n')[0] : error}`);
    process.exit(0);
  }
}
console.log(`not found within ${SEEDS_MAX} seeds`);
process.exit(1);
