import { isAggregateError, isError } from '../../model/kinds.ts';
import { messageOf } from '../../model/thrown.ts';
import { StoreError, type StoreErrorClass } from '../errors.ts';

/** Not every code of five letters is one: EPIPE is the operating system's. */
const SQLSTATE = /^(?:[0-9][0-9A-Z]|F0|HV|P0|XX)[0-9A-Z]{3}$/;
const DISK_FULL = '53100';
const DAMAGED: ReadonlySet<string> = new Set(['XX001', 'XX002']);
/** The configuration or the rights of the user are wrong: no such database, not allowed. Wrong passwords are class 28. */
const REFUSED: ReadonlySet<string> = new Set(['3D000', '42501']);
/** A primary that became a standby, a transaction that lost a race, time limits that end a session. */
const PASSING: ReadonlySet<string> = new Set(['25006', '25P03', '25P04', '40001', '40P01']);
/** Connection, resources, object in use, intervention of an operator, trouble of the system below. */
const PASSING_CLASSES: ReadonlySet<string> = new Set(['08', '53', '55', '57', '58']);
/** After these, what was asked for may have taken place all the same. */
const UNSETTLED_CLASSES: ReadonlySet<string> = new Set(['08', '57', '58', 'XX']);
/** Codes of TLS in Node.js: a certificate that is not trusted, has expired, is of another host. */
const OF_TLS = /CERT|^ERR_(?:TLS|SSL)|^UNABLE_TO_/;
/** The only errors of `pg` that are about the configuration have no code: TLS refused, no password given. */
const OF_LOGIN = /\bSSL\b|\bSASL\b/;

function codeOf(error: unknown): string | null {
  return isError(error) && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

/** Whether the server itself said that the statement failed, and so nothing of it took place. */
export function isSettled(error: unknown): boolean {
  const code = codeOf(error);
  return code !== null && SQLSTATE.test(code) && !UNSETTLED_CLASSES.has(code.slice(0, 2));
}

/** What the server or the network said, for the end of a sentence. */
export function reasonOf(error: unknown): string {
  if (isAggregateError(error)) return error.errors.map(messageOf).join('; ');
  const code = codeOf(error);
  const message = messageOf(error);
  return code !== null && SQLSTATE.test(code) ? `${message} (SQLSTATE ${code})` : message;
}

/** @param doing what failed, with the name of the database */
export function postgresError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error;
  return new StoreError(storeClass(error), `${doing}: ${reasonOf(error)}`, { cause: error });
}

/** What is known to pass is tried again; what is not stops the queue rather than the truth. */
function storeClass(error: unknown): StoreErrorClass {
  const code = codeOf(error);
  if (code === null) return OF_LOGIN.test(messageOf(error)) ? 'unusable' : 'transient';
  if (!SQLSTATE.test(code)) return OF_TLS.test(code) ? 'unusable' : 'transient';
  if (code === DISK_FULL) return 'full';
  if (DAMAGED.has(code)) return 'corrupt';
  if (REFUSED.has(code) || code.startsWith('28')) return 'unusable';
  return PASSING.has(code) || PASSING_CLASSES.has(code.slice(0, 2)) ? 'transient' : 'corrupt';
}
