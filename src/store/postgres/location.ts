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
  'target_session_attrs',
];
/** What `target_session_attrs` may ask for: a server that takes writes is what is looked for anyway. */
const TARGETS = ['primary', 'read-write', 'any'];
/** A link on which nothing comes is asked after so long whether the other side is still there. */
const KEEP_ALIVE_MS = 15_000;

/** One of the servers that may be the primary. */
export interface ServerLocation {
  readonly config: ClientConfig;
  /** Host and port, or a folder with a socket. */
  readonly name: string;
}

/** Where the tables are. */
export interface Location {
  /** In the order of the URL, one at least. */
  readonly servers: readonly ServerLocation[];
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
  if (sslMode === 'verify-ca' && !parameters.has('sslrootcert')) {
    throw usage(
      "sslmode=verify-ca: sslrootcert=FILE was expected, the authority that signed the server's certificate",
    );
  }
  const target = parameters.get('target_session_attrs');
  if (target !== null && !TARGETS.includes(target)) {
    throw usage(
      `target_session_attrs: the queue needs the primary; one of ${TARGETS.join(', ')} was expected`,
    );
  }
  parameters.delete('schema');
  parameters.delete('target_session_attrs');
  // The meaning that sslmode has everywhere else; pg's own is another one until its next major version.
  if (sslMode !== null) parameters.set('uselibpqcompat', 'true');
  const servers = addressesOf(address).flatMap((each) => serversOf(pg, each, parameters));
  const { user = '', database = '' } = clientOf(pg, servers[0]!.config);
  const names = servers.map((server) => server.name).join();
  const isSocket = names.startsWith('/');
  const place = `postgres://${user}@${isSocket ? '' : names}/${database}`;
  const more = [
    ...(isSocket ? [`host=${names}`] : []),
    ...(schema === SCHEMA_DEFAULT ? [] : [`schema=${schema}`]),
  ];
  const name = `database ${place}${more.length === 0 ? '' : `?${more.join('&')}`}`;
  return { servers, schema, name, user, database };
}

/** One address for each host of a list, with the same user and database. */
function addressesOf(address: string): string[] {
  const [, user = '', hosts = '', path = ''] = /^(\/\/(?:[^/]*@)?)([^/@]*)(.*)$/.exec(address) ?? [];
  return hosts.split(',').map((host) => `${user}${host}${path}`);
}

/** More than one where the parameter `host`, or PGHOST, is a list. */
function serversOf(pg: Driver, address: string, given: URLSearchParams): ServerLocation[] {
  const configOf = (parameters: URLSearchParams): ClientConfig => ({
    connectionString: `postgres:${address}?${parameters}`,
    fallback_application_name: 'opsqueue',
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
  });
  const { host, port } = clientOf(pg, configOf(given));
  const hosts = host.split(',');
  return hosts.map((each) => {
    const parameters = new URLSearchParams(given);
    if (hosts.length > 1) parameters.set('host', each);
    return { config: configOf(parameters), name: each.startsWith('/') ? each : `${each}:${port}` };
  });
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
