import { isAggregateError, isError } from '../../model/kinds.ts';
import { messageOf } from '../../model/thrown.ts';
import { StoreError, type StoreErrorClass } from '../errors.ts';

/** Not every code of five letters is one: EPIPE is the operating system's. */
const SQLSTATE = /^(?:[0-9][0-9A-Z]|F0|HV|P0|XX)[0-9A-Z]{3}$/;
const DISK_FULL = '53100';
const DAMAGED: ReadonlySet<string> = new Set(['XX001', 'XX002']);
/** The configuration or the rights of the user are wrong: no such database, not allowed. Wrong passwords are class 28. */
const REFUSED: ReadonlySet<string> = new Set(['3D000', '42501']);
/** A primary that became a standby, time limits that end a session. */
const PASSING: ReadonlySet<string> = new Set(['25006', '25P03', '25P04']);
/** A warning, connection, lost races, resources, object in use, intervention of an operator, trouble of the system below. */
const PASSING_CLASSES: ReadonlySet<string> = new Set(['01', '08', '40', '53', '55', '57', '58']);
/** After these, what was asked for may have taken place all the same; so after the class 40 where it says so. */
const UNSETTLED_CLASSES: ReadonlySet<string> = new Set(['01', '08', '57', '58', 'XX']);
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

const NO_PASSWORD = /\bSASL\b.*\bclient password must be a/;

/** An administrator ended the wait for a synchronous standby: it is committed, but only on the primary. */
export class NotReplicated extends Error {
  readonly code = '01000';

  constructor() {
    super('the wait for a synchronous standby was cancelled');
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

/** Whether the server itself said that the statement failed, and so nothing of it took place. */
export function isSettled(error: unknown): boolean {
  const code = codeOf(error);
  if (code === null || !SQLSTATE.test(code) || code === COMPLETION_UNKNOWN) return false;
  return !UNSETTLED_CLASSES.has(code.slice(0, 2));
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
  if (code !== null && OF_TRUST.test(code))
    return `${message.split(';')[0]} (sslrootcert=FILE names the authority to trust)`;
  return code !== null && SQLSTATE.test(code) ? `${message} (SQLSTATE ${code})` : message;
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

/** What is known to pass is tried again; what is not stops the queue rather than the truth. */
function storeClass(error: unknown): StoreErrorClass {
  const code = codeOf(error);
  // The link: nothing else has another code, or none.
  if (code === null || !SQLSTATE.test(code)) return 'transient';
  if (code === DISK_FULL) return 'full';
  if (DAMAGED.has(code)) return 'corrupt';
  if (REFUSED.has(code) || code.startsWith('28')) return 'unusable';
  return PASSING.has(code) || PASSING_CLASSES.has(code.slice(0, 2)) ? 'transient' : 'corrupt';
}
