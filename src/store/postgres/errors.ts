import { isAggregateError, isError } from '../../model/kinds.ts';
import { messageOf } from '../../model/thrown.ts';
import { StoreError, type StoreErrorClass } from '../errors.ts';

/** Also of extensions, triggers and other engines, but not every code of five letters: EPIPE is the operating system's. */
const SQLSTATE = /^(?=.*[0-9])[0-9A-Z]{5}$/;
const DISK_FULL = '53100';
const DAMAGED: ReadonlySet<string> = new Set(['XX001', 'XX002']);
/** The configuration or the rights of the user are wrong: no such database, not allowed. Wrong passwords are class 28. */
const REFUSED: ReadonlySet<string> = new Set(['3D000', '42501']);
/**
 * Classes of PostgreSQL's list by which the same statement will fail for the same reason again: the schema or the rows are not as this
 * queue wrote them, or it asks for what the engine does not have. Feature, cardinality, data, constraint, schema, name or
 * syntax, view, limit of the program.
 */
const LASTING_CLASSES: ReadonlySet<string> = new Set(['0A', '21', '22', '23', '3F', '42', '44', '54']);
/**
 * Besides those, classes after which nothing of what was asked for has taken place: transaction state, login, no such database,
 * lost races (but where they say that it is not known), resources, object in use. After any other it may have all the same.
 */
const SETTLED_CLASSES: ReadonlySet<string> = new Set([
  ...LASTING_CLASSES,
  '25',
  '28',
  '3D',
  '40',
  '53',
  '55',
]);
/**
 * What was prepared in a session is not there, is there already, or is something else: it is not the session that it was. That says
 * nothing of what is stored.
 */
const OF_SESSION: ReadonlySet<string> = new Set(['08P01', '26000', '42P05']);
const UNIQUE_VIOLATION = '23505';
const COMPLETION_UNKNOWN = '40003';
/** Codes of TLS in Node.js: a certificate that is not trusted, has expired, is of another host. */
const OF_TLS = /CERT|^ERR_(?:TLS|SSL)|^UNABLE_TO_/;
/** Nobody is known who signed it. */
const OF_TRUST = /^(?:SELF_SIGNED|DEPTH_ZERO_SELF_SIGNED|UNABLE_TO_)/;
/** TLS was cut, which any link may be. */
const CUT_OFF = 'ERR_SSL_UNEXPECTED_EOF_WHILE_READING';
/** The only errors of `pg` that are about the configuration have no code: TLS refused, no password given. */
const OF_LOGIN = /\bnot support SSL\b|\bSASL\b/;
const NO_TLS = /\bnot support SSL\b/;
/** A server that wants TLS names it as what is missing, in a message that may be translated. */
const WANTS_TLS = /\bno encryption$/;
const NO_PASSWORD = /\bSASL\b.*\bclient password must be a/;

/** An administrator ended the wait for a synchronous standby: it is committed, but only on the primary. */
export class NotReplicated extends Error {
  readonly code = '01000';

  constructor() {
    super('the wait for a synchronous standby was cancelled');
  }
}

/** A value cannot be made bytes of: the server has seen nothing of the statement. */
export class CannotBeSent extends Error {
  constructor(cause: unknown) {
    super(`a value cannot be sent: ${messageOf(cause)}`, { cause });
  }
}

/** A connection to this server is of no use. */
export class TakesNoWrites extends Error {
  constructor() {
    super('the server takes no writes: it is a standby, or set to read-only');
  }
}

function codeOf(error: unknown): string | null {
  return isError(error) && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

/** Whether nothing of the statement took place: the server itself said that it failed, or never saw it. */
export function isSettled(error: unknown): boolean {
  if (error instanceof CannotBeSent) return true;
  const code = codeOf(error);
  if (code === null || !SQLSTATE.test(code) || code === COMPLETION_UNKNOWN) return false;
  return SETTLED_CLASSES.has(code.slice(0, 2));
}

/** Whether another transaction has inserted what has to be unique, a prefix or a key, before this one. */
export function isTaken(error: unknown): boolean {
  return codeOf(error) === UNIQUE_VIOLATION;
}

/** What the server or the network said, for the end of a sentence; what `pg` and Node.js say to programmers in other words. */
export function reasonOf(error: unknown): string {
  if (isAggregateError(error)) return error.errors.map(messageOf).join('; ');
  const code = codeOf(error);
  const message = messageOf(error);
  if (NO_PASSWORD.test(message))
    return 'the server asks for a password, and none was given (PGPASSWORD, or a password file)';
  if (NO_TLS.test(message))
    return 'the server offers no TLS, which sslmode asks for (sslmode=disable does without)';
  if (code === '28000' && WANTS_TLS.test(message))
    return `${message} (SQLSTATE ${code}; sslmode=require asks for TLS)`;
  if (code !== null && OF_TRUST.test(code))
    return `${message.split(';')[0]} (sslrootcert=FILE names the authority to trust)`;
  if (code === null || !SQLSTATE.test(code)) return message;
  const hint = OF_SESSION.has(code)
    ? '; is a pooler in transaction mode in between? sessions are needed'
    : '';
  return `${message} (SQLSTATE ${code}${hint})`;
}

/** @param doing what failed, with the name of the database */
export function postgresError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error;
  return new StoreError(storeClass(error), `${doing}: ${reasonOf(error)}`, { cause: error });
}

/**
 * No server was to be had.
 *
 * @param database its name
 * @param failures one for each server
 */
export function connectError(
  database: string,
  failures: readonly { readonly server: string; readonly error: unknown }[],
): StoreError {
  const [first] = failures;
  const isForGood = failures.every(({ error }) => isOfLogin(error));
  const reasons = failures.map(({ server, error }) => `${server}: ${reasonOf(error)}`);
  const reason = failures.length === 1 ? reasonOf(first?.error) : reasons.join('; ');
  const what = failures.length === 1 && first?.error instanceof TakesNoWrites ? '' : 'cannot connect: ';
  const cause = first?.error;
  return new StoreError(isForGood ? 'unusable' : 'transient', `${database}: ${what}${reason}`, { cause });
}

/** Whether it was refused because of the configuration or the rights of the user. */
function isOfLogin(error: unknown): boolean {
  const code = codeOf(error);
  if (code === null) return OF_LOGIN.test(messageOf(error));
  if (!SQLSTATE.test(code)) return OF_TLS.test(code) && code !== CUT_OFF;
  return !['transient', 'full'].includes(storeClass(error));
}

/** What will fail again stops the shard rather than the truth; all else is tried again, also what nobody knows: its code is in the log. */
function storeClass(error: unknown): StoreErrorClass {
  if (error instanceof CannotBeSent) return 'corrupt';
  const code = codeOf(error);
  // The link: nothing else has another code, or none.
  if (code === null || !SQLSTATE.test(code)) return 'transient';
  if (code === DISK_FULL) return 'full';
  if (DAMAGED.has(code)) return 'corrupt';
  if (OF_SESSION.has(code)) return 'transient';
  if (REFUSED.has(code) || code.startsWith('28')) return 'unusable';
  return LASTING_CLASSES.has(code.slice(0, 2)) ? 'corrupt' : 'transient';
}
