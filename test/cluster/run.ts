/**
 * `npm run test:cluster [-- --minutes M | --rounds N --seed N --nodes N --only WORDS --pause MS --log]`: nodes of a queue on a primary with a synchronous
 * standby, under load, while one thing after the other breaks: each fault once, then at random until the time is over, or so
 * many have been. `--pause`: of each producer after a submission, for long runs beside other work. `--patroni PROGRAM`: three servers that it looks after
 * (`pip install 'patroni[raft,psycopg3]' psycopg-binary`), on the PostgreSQL of OPSQUEUE_TEST_POSTGRES_BIN, instead of the pair; other faults.
 * Status 0: nothing acknowledged was lost, every result came once and right, and the queue went on each time.
 */
import { randomInt as freshInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { randomInt, seededRandom } from '../../src/system/random.ts';
import { withoutPostgres } from '../support/store/postgres-server.ts';
import { type Cluster, FAULTS, type Fault } from './faults.ts';
import { ClientLoad, Pulse } from './load.ts';
import { PATRONI_FAULTS, PatroniWorld, patroniProblem } from './patroni.ts';
import { World } from './world.ts';

const NODES_DEFAULT = '2';
/** Submissions that are to be completed between two faults: there was nothing that stayed stuck. */
const SUBMISSIONS_BETWEEN = 5;
const LOG_LINES_SHOWN = 60;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '0' },
    seed: { type: 'string', default: String(freshInt(2 ** 31)) },
    nodes: { type: 'string', default: NODES_DEFAULT },
    only: { type: 'string', default: '' },
    pause: { type: 'string', default: '0' },
    patroni: { type: 'string', default: '' },
    log: { type: 'boolean', default: false },
  },
});
for (const name of ['minutes', 'rounds', 'seed', 'nodes', 'pause'] as const) {
  if (Number.isFinite(Number(values[name])) && Number(values[name]) >= 0) continue;
  console.error(`--${name}: ${values[name]} is no number`);
  process.exit(2);
}
if (withoutPostgres() !== false) process.exit(1);

const random = seededRandom(Number(values.seed));
const problem = values.patroni === '' ? null : patroniProblem(values.patroni);
if (problem !== null) {
  console.error(problem);
  process.exit(2);
}
const gapsMs = new Map<Strike, number[]>();
const endMs = performance.now() + Number(values.minutes) * 60_000;
const rounds = Number(values.rounds);
const isOver = (number: number) => (rounds === 0 ? performance.now() >= endMs : number >= rounds);
console.log(
  `${rounds === 0 ? `about ${values.minutes} minutes` : `${rounds} faults`}, seed ${values.seed}, ${values.nodes} nodes`,
);

/** A fault, for the cluster there is. */
interface Strike extends Omit<Fault, 'run'> {
  run(): Promise<number | undefined>;
}

async function clusterOf<C extends Cluster>(starting: Promise<C>, faults: readonly Fault<C>[]) {
  const world = await starting;
  const strikes = faults.map((each): Strike => ({ ...each, run: () => each.run(world, random) }));
  return { world, strikes: strikes.filter(({ name }) => name.includes(values.only)) };
}

const nodeCount = Number(values.nodes);
const { world, strikes } = await (values.patroni === ''
  ? clusterOf(World.start(nodeCount), FAULTS)
  : clusterOf(PatroniWorld.start(values.patroni, nodeCount), PATRONI_FAULTS));
const pulse = new Pulse(world.nodes.map(({ port }) => port));
const load = new ClientLoad(world.address, random, Number(values.pause));
/** Of the fault that is going on, for a failure. */
let current = 'none yet';

async function strike(each: Strike, number: number): Promise<void> {
  current = `${number}: ${each.name}`;
  const beganMs = performance.now();
  const since = (await each.run()) ?? null;
  const goneOnMs = await pulse.beatsAfter(since ?? performance.now(), each.recoversWithinMs);
  await load.completes(SUBMISSIONS_BETWEEN);
  const gapMs = since === null ? pulse.longestGapMs(beganMs) : goneOnMs - since;
  gapsMs.set(each, [...(gapsMs.get(each) ?? []), gapMs]);
  if (world.surprises.length > 0) throw new Error(world.surprises.join('; '));
  const took = ((performance.now() - beganMs) / 1000).toFixed(1);
  console.log(`${number}. ${each.name}: gap ${Math.round(gapMs)} ms, ${took} s`);
}

function showLogs(lines: number): void {
  for (const { name, log } of world.nodes)
    console.log(`\n${name}:\n${log.split('\n').slice(-lines).join('\n')}`);
}

let ended: Promise<void> | null = null;
function end(): Promise<void> {
  ended ??= load.close().then(() => world[Symbol.asyncDispose]());
  return ended;
}
// The processes that were started would outlive this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    console.error(`\nbroken off by ${signal} at ${current}`);
    void end().finally(() => process.exit(1));
  });

try {
  await load.completes(SUBMISSIONS_BETWEEN);
  let number = 0;
  for (const each of strikes) await strike(each, ++number);
  while (!isOver(number)) await strike(strikes[randomInt(random, strikes.length)]!, ++number);
  current = 'after all of them';
  await pulse.stop();
  await load.stop();
  await load.verify();
  await pulse.verify(world.nodes[0]!.port);
  console.log(`\n${'fault'.padEnd(62)}times  gap ms: median   worst`);
  for (const [each, all] of gapsMs) {
    const sorted = all.toSorted((a, b) => a - b);
    const cells = [sorted[sorted.length >> 1]!, sorted.at(-1)!].map((ms) =>
      String(Math.round(ms)).padStart(8),
    );
    console.log(`${each.name.padEnd(62)}${String(all.length).padStart(5)}${' '.repeat(10)}${cells.join('')}`);
  }
  console.log(
    `\n${load.acknowledged.length} submissions with ${load.ops} operations, ${pulse.acknowledged.size} inserts beside them: nothing lost, every result once and right`,
  );
  if (values.log) showLogs(Infinity);
} catch (error) {
  process.exitCode = 1;
  // What is broken off fails as well.
  if (ended === null) {
    showLogs(LOG_LINES_SHOWN);
    console.error(`\nFAILED (seed ${values.seed}) at ${current}\n`, error);
  }
} finally {
  await end();
  // Clients of a load that failed may still be at it.
  process.exit();
}
