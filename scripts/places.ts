/**
 * `npm run test:places`: all tests, or those below the given folders, in places where tests and code have failed before:
 * one copy of the checkout for each. It ends with the names of the places that are red.
 *
 * As root it also runs as a user that is not root; on a machine with `taskset` also on one core.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** `nobody`, on all systems that we know. */
const NOBODY = 65_534;

interface Place {
  readonly name: string;
  /** The folder's name, below one that is made for it. */
  readonly folder?: string;
  /** Of the folder above. */
  readonly mode?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: number;
  readonly prefix?: readonly string[];
  /** A temporary folder of this name. */
  readonly temporary?: string;
}

const isRoot = process.getuid?.() === 0;
const hasTaskset = spawnSync('taskset', ['--version']).status === 0;
const PLACES: readonly Place[] = [
  { name: 'a folder that others cannot enter', mode: 0o700 },
  ...(isRoot ? [{ name: 'a user that is not root', user: NOBODY, mode: 0o755 }] : []),
  { name: 'a folder called mein Ordner ü', folder: 'mein Ordner ü' },
  { name: 'a locale that is not installed', env: { LC_ALL: 'de_DE.UTF-8' } },
  { name: 'a TMPDIR that ends in ü', temporary: 'tmp-ü' },
  {
    name: 'a proxy that is not there',
    env: { HTTP_PROXY: 'http://127.0.0.1:9', NO_PROXY: '', no_proxy: '' },
  },
  ...(hasTaskset
    ? [{ name: 'one core', prefix: ['taskset', '-c', '0'], env: { OPSQUEUE_TEST_SECONDS: '400' } }]
    : []),
];

/** Without what `npm run` sets for its own user: its cache, its configuration. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));

function give(folder: string, user: number): void {
  chownSync(folder, user, user);
  for (const file of globSync('**/*', { cwd: folder })) chownSync(join(folder, file), user, user);
}

function isGreen(place: Place, wanted: readonly string[]): boolean {
  const above = mkdtempSync(join(tmpdir(), 'opsqueue-place-'));
  try {
    const folder = join(above, place.folder ?? 'opsqueue');
    cpSync(root, folder, { recursive: true, verbatimSymlinks: true });
    const temporary = join(above, place.temporary ?? 'tmp');
    mkdirSync(temporary);
    chmodSync(above, place.mode ?? 0o755);
    if (place.user !== undefined) give(above, place.user);
    const [command = '', ...args] = [...(place.prefix ?? []), 'npm', 'test', '--', ...wanted];
    const { status } = spawnSync(command, args, {
      cwd: folder,
      stdio: 'inherit',
      env: { ...ENV, HOME: temporary, TMPDIR: temporary, ...place.env },
      ...(place.user === undefined ? {} : { uid: place.user, gid: place.user }),
    });
    return status === 0;
  } finally {
    rmSync(above, { recursive: true, force: true });
  }
}

const red = PLACES.filter((place) => {
  console.log(`\n=== ${place.name}`);
  return !isGreen(place, process.argv.slice(2));
});
console.log(
  red.length === 0 ? '\ngreen in all places' : `\nred in: ${red.map(({ name }) => name).join('; ')}`,
);
process.exit(red.length === 0 ? 0 : 1);
