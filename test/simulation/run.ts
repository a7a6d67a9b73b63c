/**
 * The simulation by hand:
 *
 *     npm run simulate                                fresh seeds for a minute
 *     npm run simulate -- --minutes 60                fresh seeds for an hour
 *     npm run simulate -- --seed 7 --steps 2000       one run, of a single node
 *     npm run simulate -- --nodes 3                   three nodes in each run; by default it is one, two or three
 *     npm run simulate -- --seeds                     notes which seed finds each of the deliberate bugs
 *
 * A failure is run again with fewer and fewer steps, and ends with the seed, the commit and what happened last.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { timesOfPlaces } from './capricious.ts';
import { noteSeeds } from './find-bug.ts';
import { type SimulationFailure, simulate } from './world.ts';

/** Of runs that are not told how many: as often as it stands here. */
const NODES = [1, 1, 2, 3];

/** Nodes that were killed stay in memory, by signals that nobody fires any more: 0.7 MB a run. */
const MINUTES_PER_PROCESS = 10;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    steps: { type: 'string', default: '2000' },
    minutes: { type: 'string', default: '1' },
    nodes: { type: 'string' },
    seeds: { type: 'boolean', default: false },
  },
});
if (values.seeds) {
  console.log(`${await noteSeeds()} seeds have changed`);
  process.exit();
}
const steps = Number(values.steps);
const minutes = Number(values.minutes);
if (!Number.isSafeInteger(steps) || steps < 1)
  throw new Error(`--steps ${values.steps}: a whole number above 0`);
const nodesWanted = values.nodes === undefined ? null : Number(values.nodes);
if (nodesWanted !== null && ![1, 2, 3].includes(nodesWanted))
  throw new Error(`--nodes ${values.nodes}: 1, 2 or 3`);
if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes}: a number above 0`);

if (values.seed === undefined && minutes > MINUTES_PER_PROCESS) {
  const options = ['--steps', values.steps, ...(values.nodes === undefined ? [] : ['--nodes', values.nodes])];
  for (let left = minutes; left > 0; left -= MINUTES_PER_PROCESS) {
    const own = ['--minutes', String(Math.min(left, MINUTES_PER_PROCESS))];
    const program = [...process.execArgv, import.meta.filename];
    const { status } = spawnSync(process.execPath, [...program, ...options, ...own], { stdio: 'inherit' });
    if (status !== 0) process.exit(1);
  }
  process.exit();
}

/** The fewest steps, by halves, that still fail. */
async function shortest(failure: SimulationFailure): Promise<SimulationFailure> {
  let found = failure;
  for (let tried = failure.steps >> 1; tried >= 1; tried >>= 1) {
    const shorter = await simulate(failure.seed, tried, { nodes: failure.nodes }).then(
      () => null,
      (error: SimulationFailure) => error,
    );
    if (shorter === null) break;
    found = shorter;
  }
  return found;
}

const until = performance.now() + minutes * 60_000;
const totals = { runs: 0, steps: 0, simulatedMs: 0, submissions: 0, handOuts: 0, crashes: 0, rare: 0 };
let toldMs = performance.now();
do {
  const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed);
  const nodes = nodesWanted ?? (values.seed === undefined ? NODES[randomInt(NODES.length)]! : 1);
  try {
    const result = await simulate(seed, steps, { nodes });
    totals.runs++;
    totals.steps += result.steps;
    totals.simulatedMs += result.simulatedMs;
    totals.submissions += result.submissions;
    totals.handOuts += result.handOuts;
    totals.crashes += result.crashes;
  } catch (error) {
    const failure = await shortest(error as SimulationFailure);
    const commit = spawnSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).stdout.trim();
    console.log(failure.trace.join('\n'));
    console.log(`\n${failure.stack}\n${failure.cause instanceof Error ? failure.cause.stack : ''}`);
    console.log(
      `\nAgain, at commit ${commit}:\n  npm run simulate -- --seed ${failure.seed} --steps ${failure.steps} --nodes ${failure.nodes}`,
    );
    process.exit(1);
  }
  if (performance.now() - toldMs > 60_000) {
    toldMs = performance.now();
    console.log(summary());
  }
} while (values.seed === undefined && performance.now() < until);
console.log(summary());

function summary(): string {
  const hours = (totals.simulatedMs / 3_600_000).toFixed(1);
  totals.rare = [...timesOfPlaces.values()].reduce((sum, times) => sum + times, 0);
  return (
    `${totals.runs} runs, ${totals.steps} steps, ${hours} simulated hours: ${totals.submissions} submissions, ` +
    `${totals.handOuts} chunks handed out, ${totals.crashes} crashes, ${totals.rare} rare things made to happen; nothing found`
  );
}
