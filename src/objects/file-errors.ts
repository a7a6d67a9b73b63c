import { isError } from '../model/kinds.ts';
import { messageOf } from '../model/thrown.ts';
import { ObjectStoreError, type ObjectStoreErrorCode } from './errors.ts';

const CODES: Readonly<Record<string, ObjectStoreErrorCode>> = {
  ENOENT: 'OBJECT_NOT_FOUND',
  EACCES: 'OBJECT_DENIED',
  EPERM: 'OBJECT_DENIED',
  EROFS: 'OBJECT_DENIED',
  ENOSPC: 'OBJECT_STORE_FULL',
  EDQUOT: 'OBJECT_STORE_FULL',
  // The largest file that this process may write (ulimit -f).
  EFBIG: 'OBJECT_STORE_FULL',
  ETIMEDOUT: 'OBJECT_UNREACHABLE',
  ESTALE: 'OBJECT_UNREACHABLE',
  EHOSTDOWN: 'OBJECT_UNREACHABLE',
  EHOSTUNREACH: 'OBJECT_UNREACHABLE',
};

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return isError(error) && 'code' in error && codes.includes(String(error.code));
}

/** What a failed system call means; `what` says what was tried. The key `''` stands for all of the store. */
export function fileError(error: unknown, key: string, what: string): unknown {
  if (error instanceof ObjectStoreError) return error;
  const errno = isError(error) && 'code' in error ? String(error.code) : '';
  const text = messageOf(error);
  const subject = key === '' ? 'object store' : `object ${key}`;
  const code = CODES[errno] ?? 'OBJECT_FAILED';
  const retryable = code === 'OBJECT_UNREACHABLE';
  return new ObjectStoreError(code, key, `${subject}: ${what}: ${text}`, { cause: error, retryable });
}
