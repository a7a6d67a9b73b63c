/** What happens to a cluster, one at a time. Each leaves it whole: every node runs, and a standby confirms. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Random, randomInt } from '../../src/system/random.ts';
import type { Break } from '../support/network/tcp-proxy.ts';
import { type Node, SCHEMA, type World } from './world.ts';

/** Nodes of a queue, and the database below them. */
export interface Cluster extends AsyncDisposable {
  readonly nodes: readonly Node[];
  /** For clients: any node serves them. */
  readonly address: string;
  /** Ends of nodes that nobody asked for. */
  readonly surprises: readonly string[];
}

export interface Fault<C extends Cluster = World> {
  readonly name: string;
  /** Longest time until the next insert is acknowledged, from the moment that it returns; in milliseconds. */
  readonly recoversWithinMs: number;
  /** Returns when the time that counts began, if that was not at the start. */
  run(cluster: C, random: Random): Promise<number | undefined>;
}

const RECOVERY_MS = 30_000;
const TRIGGER = 'no_room';

export function fault<C extends Cluster = World>(
  name: string,
  run: (cluster: C, random: Random) => Promise<unknown>,
  recoversWithinMs = RECOVERY_MS,
): Fault<C> {
  return {
    name,
    recoversWithinMs,
    run: async (cluster, random) => {
      const since = await run(cluster, random);
      return typeof since === 'number' ? since : undefined;
    },
  };
}

/** That of the unnamed queue, more often than not. */
async function anyNode({ nodes }: World, random: Random): Promise<Node> {
  let node = nodes[randomInt(random, nodes.length)];
  if (random.next() < 0.7) {
    const active = await Promise.all(nodes.map((each) => each.isActive()));
    node = nodes[active.indexOf(true)] ?? node;
  }
  if (node === undefined) throw new Error('there is no node');
  return node;
}

const linkFaults = (['end', 'reset', 'swallow', 'swallow answers'] satisfies Break[]).map((how) =>
  fault(`links to the database: ${how}`, async (world, random) =>
    (await anyNode(world, random)).breakLinks(how),
  ),
);

const failOvers = (['crash', 'kill', 'fast'] as const).map((how) =>
  fault(`primary: ${how}, standby promoted`, async (world) => {
    const promotedMs = await world.failOver(how);
    // The next standby comes when the queue has gone on.
    await sleep(1_000);
    await world.addStandby();
    return promotedMs;
  }),
);

const restarts = (['fast', 'crash'] as const).map((how) =>
  fault(`primary: ${how}, started again`, async ({ pair: { primary } }) => {
    await primary.stop(how);
    await primary.startAgain();
  }),
);

export const FAULTS: readonly Fault[] = [
  ...linkFaults,
  fault('a node is cut off from the database for some seconds', async (world, random) => {
    const node = await anyNode(world, random);
    node.isCutOff = true;
    await sleep(1_000 + randomInt(random, 7_000));
    node.isCutOff = false;
  }),
  ...restarts,
  ...failOvers,
  fault('the standby is gone for some seconds', async (world, random) => {
    await world.pair.standby?.stop('fast');
    await sleep(randomInt(random, 6_000));
    await world.pair.standby?.startAgain();
  }),
  fault('an administrator ends all sessions', async (world) => {
    await world.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'opsqueue'`,
    );
  }),
  fault('an administrator cancels statements, again and again', async (world) => {
    for (let i = 0; i < 20; i++) {
      await world.sql(
        `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'opsqueue'`,
      );
    }
  }),
  fault('no room in the database for some seconds', async (world, random) => {
    await world.sql(`CREATE FUNCTION ${SCHEMA}.${TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
      CREATE TRIGGER ${TRIGGER} BEFORE INSERT OR UPDATE ON ${SCHEMA}.submissions EXECUTE FUNCTION ${SCHEMA}.${TRIGGER}()`);
    await sleep(randomInt(random, 4_000));
    await world.sql(`DROP FUNCTION ${SCHEMA}.${TRIGGER} CASCADE`);
  }),
  fault('a node is killed and started again', async (world, random) => {
    const node = await anyNode(world, random);
    await node.end('SIGKILL');
    await node.start();
  }),
  fault('all nodes are killed and started at once', async ({ nodes }) => {
    await Promise.all(nodes.map((node) => node.end('SIGKILL')));
    await Promise.all(nodes.map((node) => node.start()));
  }),
  fault('the nodes are restarted in turn', async ({ nodes }) => {
    for (const node of nodes) {
      await node.end('SIGTERM');
      await node.start();
    }
  }),
  fault('the active node stands still for 10 seconds', async ({ nodes }) => {
    const active = await Promise.all(nodes.map((each) => each.isActive()));
    const { child } = (nodes[active.indexOf(true)] ?? nodes[0]!).process;
    child.kill('SIGSTOP');
    await sleep(10_000);
    child.kill('SIGCONT');
  }),
  fault('a node stands still for some seconds', async (world, random) => {
    const node = await anyNode(world, random);
    node.process.child.kill('SIGSTOP');
    await sleep(1_000 + randomInt(random, 9_000));
    node.process.child.kill('SIGCONT');
  }),
];
