import type { ClientConfig } from 'pg';
import { IncorrectUsageError } from '../../model/errors.ts';
import { unknownOption } from '../../model/option-names.ts';
import { messageOf } from '../../model/thrown.ts';
import { StoreError } from '../errors.ts';
import type { Driver } from './driver.ts';

const SCHEMA_DEFAULT = 'opsqueue';
const SCHEMA_NAME = /^[a-z_][a-z0-9_]{0,62}$/;
const SSL_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'];
const PARAMETERS = [
  'schema',
  'host',
  'port',
  'user',
  'password',
  'application_name',
  'options',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslnegotiation',
];
/** A database that does not answer at all is tried again after so long. */
const CONNECT_TIMEOUT_MS = 10_000;
/** A link on which nothing comes is asked after so long whether the other side is still there. */
const KEEP_ALIVE_MS = 15_000;

/** Where the tables are. */
export interface Location {
  readonly config: ClientConfig;
  readonly schema: string;
  /** For errors and logs: host, database and user, never the password. */
  readonly name: string;
  readonly user: string;
  readonly database: string;
}

/**
 * Reads a URL; what it leaves out comes from the variables `PG...` and the password file.
 *
 * @param rest of the URL, after `postgres:`
 * @throws IncorrectUsageError for a URL that makes no sense; it never repeats the URL, which may hold a password
 */
export function parseLocation(pg: Driver, rest: string): Location {
  if (!rest.startsWith('//')) throw usage('write postgres://user@host:5432/database');
  const [address = '', query = ''] = rest.split('?', 2);
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (PARAMETERS.includes(name)) continue;
    // Perhaps the end of a password with a question mark: it is not repeated.
    if (!/^[a-z_]+$/i.test(name))
      throw usage('special characters in names and passwords must be percent-encoded');
    throw usage(unknownOption(name, PARAMETERS));
  }
  const schema = parameters.get('schema') ?? SCHEMA_DEFAULT;
  if (!SCHEMA_NAME.test(schema)) throw usage('schema: 1 to 63 of a-z 0-9 _ were expected');
  const sslMode = parameters.get('sslmode');
  if (sslMode !== null && !SSL_MODES.includes(sslMode)) {
    throw usage(`sslmode: one of ${SSL_MODES.join(', ')} was expected`);
  }
  parameters.delete('schema');
  // The meaning that sslmode has everywhere else; pg's own is another one until its next major version.
  if (sslMode !== null) parameters.set('uselibpqcompat', 'true');
  const config: ClientConfig = {
    connectionString: `postgres:${address}?${parameters}`,
    fallback_application_name: 'opsqueue',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
  };
  const { host, port, user = '', database = '' } = clientOf(pg, config);
  const socket = host.startsWith('/');
  const place = `postgres://${user}@${socket ? '' : `${host}:${port}`}/${database}`;
  const more = [
    ...(socket ? [`host=${host}`] : []),
    ...(schema === SCHEMA_DEFAULT ? [] : [`schema=${schema}`]),
  ];
  const name = `database ${place}${more.length === 0 ? '' : `?${more.join('&')}`}`;
  return { config, schema, name, user, database };
}

/** It knows what the variables say; it is not connected. */
function clientOf(pg: Driver, config: ClientConfig) {
  try {
    return new pg.Client(config);
  } catch (cause) {
    const { code } = cause as { readonly code?: unknown };
    if (code === 'ERR_INVALID_URL') throw usage('write postgres://user@host:5432/database');
    // A file of the TLS options that is not there or cannot be read.
    throw new StoreError('unusable', `store postgres: ${messageOf(cause)}`, { cause });
  }
}

function usage(problem: string): IncorrectUsageError {
  return new IncorrectUsageError(`store postgres: ${problem}`);
}
