/** Three PostgreSQL servers that Patroni looks after; it keeps what it knows among the three of them (Raft), so nothing else is needed. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../support/network/free-port.ts';
import type { TestProcess } from '../support/processes.ts';
import {
  makeServerFolder,
  PASSWORD,
  PostgresServer,
  startAsServer,
} from '../support/store/postgres-server.ts';
import { type Cluster, type Fault, fault } from './faults.ts';
import { Node } from './world.ts';

/** Patroni takes no shorter one. */
const TTL_SECONDS = 20;
const LOOK_AGAIN_MS = 50;
/** Until all three follow again: Patroni makes a member anew if it cannot go on with its data. */
const WHOLE_MS = 120_000;
const PROGRAMS = ['postgres', 'pg_basebackup', 'pg_rewind'] as const;

/** What is missing for it, in words; null: nothing. */
export function patroniProblem(program: string): string | null {
  const bin = process.env.OPSQUEUE_TEST_POSTGRES_BIN;
  if (!existsSync(program))
    return `--patroni: there is no ${program}: pip install 'patroni[raft,psycopg3]' psycopg-binary`;
  const missing = bin === undefined ? PROGRAMS : PROGRAMS.filter((each) => !existsSync(join(bin, each)));
  if (missing.length === 0) return null;
  return `--patroni: OPSQUEUE_TEST_POSTGRES_BIN is to name a folder with ${PROGRAMS.join(', ')}; missing: ${missing.join(', ')}`;
}

interface MemberPorts {
  readonly sql: number;
  readonly rest: number;
  readonly raft: number;
}

/** As Patroni tells of it. */
interface MemberState {
  readonly name: string;
  readonly role: string;
  readonly state: string;
}

/** A machine: Patroni and the server that it runs. */
class Member {
  readonly name: string;
  readonly ports: MemberPorts;
  readonly #folder: string;
  readonly #program: string;
  #patroni: TestProcess;

  private constructor(name: string, ports: MemberPorts, folder: string, program: string) {
    this.name = name;
    this.ports = ports;
    this.#folder = folder;
    this.#program = program;
    this.#patroni = this.#spawn();
  }

  static async start(
    program: string,
    name: string,
    all: readonly MemberPorts[],
    index: number,
  ): Promise<Member> {
    const folder = makeServerFolder();
    const config = configOf(
      name,
      folder,
      all[index]!,
      all.filter((_, i) => i !== index),
    );
    // JSON is YAML.
    await PostgresServer.writeSecret(join(folder, 'patroni.yml'), JSON.stringify(config));
    return new Member(name, all[index]!, folder, program);
  }

  get log(): string {
    return this.#patroni.output('stderr');
  }

  /** The machine is without power. */
  async dies(): Promise<void> {
    const pids = await this.#pids();
    for (const pid of pids) kill(pid, 'SIGKILL');
    await this.#patroni.exit();
  }

  comesBack(): void {
    this.#patroni = this.#spawn();
  }

  /** All that runs on the machine stands still, or goes on. */
  async signal(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    for (const pid of await this.#pids()) kill(pid, signal);
  }

  async end(): Promise<void> {
    await this.signal('SIGCONT');
    await this.dies();
  }

  #spawn(): TestProcess {
    return startAsServer(this.#program, [join(this.#folder, 'patroni.yml')], this.#folder);
  }

  /** Patroni first: it would start the server again. */
  async #pids(): Promise<readonly number[]> {
    const text = await readFile(join(this.#folder, 'data/postmaster.pid'), 'utf8').catch(() => '');
    const server = Number.parseInt(text, 10) || null;
    const ofServer = server === null ? [] : [server, ...(await childrenOf(server))];
    return [this.#patroni.pid, ...ofServer];
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

/** What it looks for, as soon as it is there. */
async function until<T>(what: string, look: () => Promise<T | null>): Promise<T> {
  const endMs = performance.now() + WHOLE_MS;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (performance.now() > endMs) throw new Error(`Patroni: not ${what} within ${WHOLE_MS / 1_000} s`);
    await sleep(LOOK_AGAIN_MS);
  }
}

async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}

function configOf(
  name: string,
  folder: string,
  { sql, rest, raft }: MemberPorts,
  others: readonly MemberPorts[],
) {
  const password = decodeURIComponent(PASSWORD);
  const local = (port: number) => `127.0.0.1:${port}`;
  return {
    scope: 'opsqueue',
    name,
    restapi: { listen: local(rest), connect_address: local(rest) },
    raft: {
      data_dir: join(folder, 'raft'),
      self_addr: local(raft),
      partner_addrs: others.map((each) => local(each.raft)),
    },
    bootstrap: {
      dcs: {
        ttl: TTL_SECONDS,
        loop_wait: 1,
        retry_timeout: 3,
        synchronous_mode: true,
        postgresql: { use_pg_rewind: true },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C' }],
    },
    postgresql: {
      listen: local(sql),
      connect_address: local(sql),
      data_dir: join(folder, 'data'),
      bin_dir: process.env.OPSQUEUE_TEST_POSTGRES_BIN,
      pgpass: join(folder, 'pgpass'),
      authentication: {
        superuser: { username: 'postgres', password },
        replication: { username: 'replicator', password },
        rewind: { username: 'rewinder', password },
      },
      parameters: { unix_socket_directories: '' },
      pg_hba: ['all', 'replication'].map((what) => `host ${what} all 127.0.0.1/32 scram-sha-256`),
    },
  };
}

export class PatroniWorld implements Cluster {
  readonly nodes: readonly Node[];
  readonly #members: readonly Member[];

  private constructor(members: readonly Member[], nodes: readonly Node[]) {
    this.#members = members;
    this.nodes = nodes;
  }

  static async start(program: string, nodeCount: number): Promise<PatroniWorld> {
    const names = ['a', 'b', 'c'];
    const ports: MemberPorts[] = [];
    for (const _ of names)
      ports.push({ sql: await freePort(), rest: await freePort(), raft: await freePort() });
    const members = await Promise.all(names.map((name, index) => Member.start(program, name, ports, index)));
    const nodes = await Promise.all(
      Array.from({ length: nodeCount }, (_, i) =>
        Node.make(
          `node ${'ABC'[i]}`,
          ports.map(({ sql }) => sql),
        ),
      ),
    );
    const world = new PatroniWorld(members, nodes);
    try {
      await world.isWhole();
      await Promise.all(nodes.map((node) => node.start()));
      return world;
    } catch (error) {
      for (const { name, log } of members) console.error(`\nPatroni ${name}:\n${log}`);
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  get address(): string {
    return this.nodes.map(({ port }) => `localhost:${port}`).join();
  }

  get surprises(): string[] {
    return this.nodes.flatMap(({ surprises }) => surprises);
  }

  async leader(): Promise<Member> {
    return until('a leader', () => this.#withRole('leader'));
  }

  async synchronousStandby(): Promise<Member> {
    return until('a synchronous standby', () => this.#withRole('sync_standby'));
  }

  /** Resolves to the time when somebody else leads. */
  async leadsOtherThan(old: Member): Promise<number> {
    await until('another leader', async () => {
      const leader = await this.#withRole('leader');
      return leader === old ? null : leader;
    });
    return performance.now();
  }

  /** One leads, the others follow it, and one of these confirms. */
  async isWhole(): Promise<void> {
    await until('all three at work', async () => {
      const states = await this.#states();
      const roles = states
        .map(({ role }) => role)
        .sort()
        .join();
      const areUp = states.every(({ state }) => state === 'running' || state === 'streaming');
      return areUp && roles === 'leader,replica,sync_standby' ? true : null;
    });
  }

  async switchover(from: Member, to: Member): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${from.ports.rest}/switchover`, {
      method: 'POST',
      body: JSON.stringify({ leader: from.name, candidate: to.name }),
    });
    if (!response.ok) throw new Error(`switchover: ${response.status} ${await response.text()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
    for (const member of this.#members) await member.end();
  }

  async #withRole(role: string): Promise<Member | null> {
    const found = (await this.#states()).find((each) => each.role === role && each.state !== 'stopped');
    return this.#members.find(({ name }) => name === found?.name) ?? null;
  }

  /** By the one that answers and knows of a leader. */
  async #states(): Promise<readonly MemberState[]> {
    for (const { ports } of this.#members) {
      const answer = await fetch(`http://127.0.0.1:${ports.rest}/cluster`, {
        signal: AbortSignal.timeout(1_000),
      })
        .then((response) => response.json() as Promise<{ members: readonly MemberState[] }>)
        .catch(() => null);
      if (answer?.members.some(({ role }) => role === 'leader')) return answer.members;
    }
    return [];
  }
}

export const PATRONI_FAULTS: readonly Fault<PatroniWorld>[] = [
  fault('switchover to the synchronous standby', async (world) => {
    const [leader, standby] = [await world.leader(), await world.synchronousStandby()];
    await world.switchover(leader, standby);
    const sinceMs = await world.leadsOtherThan(leader);
    await world.isWhole();
    return sinceMs;
  }),
  fault('the machine of the primary dies', async (world) => {
    const leader = await world.leader();
    await leader.dies();
    const sinceMs = await world.leadsOtherThan(leader);
    leader.comesBack();
    await world.isWhole();
    return sinceMs;
  }),
  fault('the machine of the primary stands still for longer than Patroni waits', async (world) => {
    const leader = await world.leader();
    await leader.signal('SIGSTOP');
    const sinceMs = await world.leadsOtherThan(leader);
    await sleep(5_000);
    await leader.signal('SIGCONT');
    await world.isWhole();
    return sinceMs;
  }),
  fault('the machine of the synchronous standby dies', async (world) => {
    const standby = await world.synchronousStandby();
    await standby.dies();
    await sleep(10_000);
    standby.comesBack();
    await world.isWhole();
  }),
];
