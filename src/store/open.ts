import { IncorrectUsageError } from '../model/errors.ts';
import { nearestName } from '../model/option-names.ts';
import { type Logger, silentLogger } from '../system/log/logger.ts';
import { type Clock, systemClock } from '../system/time/clock.ts';
import { MemoryStore } from './memory/memory-store.ts';
import type { MoveContext, MoveEnds } from './move/ends.ts';
import type { Store } from './store.ts';

/** What a store gets from its surroundings. */
export interface StoreContext {
  /**
   * Takes what the store logs.
   *
   * @defaultValue none: nothing is logged
   */
  readonly logger?: Logger | undefined;
  /**
   * For the names of copies, and for the time that closing may take.
   *
   * @defaultValue the clock of this machine
   */
  readonly clock?: Clock | undefined;
  /**
   * Called while a store is being opened that waits for something, such as a database that cannot be reached: with the reason,
   * and with null when it waits no more.
   *
   * @defaultValue none: only the log says so
   */
  readonly waiting?: ((reason: string | null) => void) | undefined;
  /**
   * Gives up opening the store: it rejects with the reason of the signal then, and nothing stays open.
   *
   * @defaultValue none: a database that cannot be reached is waited for as long as it takes
   */
  readonly signal?: AbortSignal | undefined;
}

interface OpenContext extends MoveContext {
  readonly signal: AbortSignal | undefined;
  waiting(reason: string | null): void;
}

interface Scheme {
  /** How a URL of it looks, for errors. */
  readonly form: string;
  /** @param rest what follows the colon */
  open(rest: string, context: OpenContext): Promise<Store>;
  /** Its ends of a move. */
  moveEnds?(): Promise<MoveEnds>;
}

/** A further engine is a row here; what it needs beyond this package is loaded when it is opened. */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  sqlite: {
    form: 'sqlite:path/to/file.db',
    async open(rest, { logger, clock }) {
      const { openSqliteStore } = await import('./sqlite/sqlite-store.ts');
      return openSqliteStore({ filename: rest, logger, clock });
    },
    async moveEnds() {
      const { sqliteMoveEnds } = await import('./sqlite/move-ends.ts');
      return sqliteMoveEnds;
    },
  },
  memory: {
    form: 'memory:',
    async open(rest) {
      if (rest !== '') throw new IncorrectUsageError(`store memory:${rest}: write memory: and nothing else`);
      return new MemoryStore();
    },
  },
  postgres: {
    form: 'postgres://user@host:5432/database',
    async open(rest, context) {
      const { openPostgresStore } = await import('./postgres/postgres-store.ts');
      return openPostgresStore({ rest, ...context });
    },
    async moveEnds() {
      const { loadPostgresMoveEnds } = await import('./postgres/move-ends.ts');
      return loadPostgresMoveEnds();
    },
  },
};
/** The other name that PostgreSQL's own tools take. */
const POSTGRES_TOO = 'postgresql';

/**
 * Opens the store of a URL: `sqlite:` and a path, relative to the current folder or absolute; `postgres://...`, for which
 * the package `pg` is needed; or `memory:`, which keeps everything in this process and forgets it with the store.
 *
 * @throws IncorrectUsageError for a URL that makes no sense, StoreError for a store that cannot be used, the reason of the signal
 *
 * @example
 * ```ts
 * import { openStore } from 'opsqueue/store';
 *
 * const store = await openStore('sqlite:/var/lib/opsqueue/queue.db');
 * ```
 */
export async function openStore(url: string, context: StoreContext = {}): Promise<Store> {
  const { scheme, rest } = parseStoreUrl(url);
  const { logger = silentLogger, clock = systemClock, waiting = () => {}, signal } = context;
  signal?.throwIfAborted();
  const store = await scheme.open(rest, { logger, clock, waiting, signal });
  if (signal?.aborted === true) await store.close();
  signal?.throwIfAborted();
  return store;
}

/** What a URL looks like, for each scheme. */
export const STORE_URL_FORMS: readonly string[] = Object.values(SCHEMES).map(({ form }) => form);

/**
 * @param name of the option, for errors
 * @throws IncorrectUsageError that says which URLs there are
 */
export function parseStoreUrl(
  url: string,
  name = 'store',
): { readonly scheme: Scheme; readonly rest: string } {
  const known = `known are ${STORE_URL_FORMS.join(', ')}`;
  const parts = /^([a-z][a-z0-9+.-]+):(.*)$/is.exec(url);
  // A path, or C:\queue.db. What the text holds may be a password: it is not repeated.
  if (parts === null) throw new IncorrectUsageError(`${name} must be a URL with a scheme; ${known}`);
  const [, given = '', rest = ''] = parts;
  const word = given.toLowerCase() === POSTGRES_TOO ? 'postgres' : given.toLowerCase();
  const scheme = Object.hasOwn(SCHEMES, word) ? SCHEMES[word] : undefined;
  if (scheme !== undefined) return { scheme, rest };
  const near = nearestName(given, Object.keys(SCHEMES));
  const meant = near === null ? '' : `did you mean ${near}:? `;
  throw new IncorrectUsageError(`${name}: unknown scheme ${given.slice(0, 100)}:; ${meant}${known}`);
}
