import { opendir, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isError } from '../model/kinds.ts';
import { messageOf } from '../model/thrown.ts';
import type { Logger } from '../system/log/logger.ts';
import { type Clock, sleep } from '../system/time/clock.ts';
import { isErrno } from './file-errors.ts';

/** How long a `file:` store asks again, in milliseconds. */
export interface FilePatience {
  /** For an object that is not there. null: {@link MISSING_MS_DEFAULT} on a network disk, not at all on others. */
  readonly missingMs: number | null;
  /** After an error that may pass. */
  readonly retryMs: number;
}

export const MISSING_MS_DEFAULT = 5_000;
export const RETRY_MS_DEFAULT = 5_000;

const FIRST_WAIT_MS = 50;
const WAIT_MS_MAX = 1_000;

/** Magic numbers (statfs(2)) of file systems that are on this machine: what is not there is not there. */
const LOCAL_FILE_SYSTEMS = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // btrfs
  0x2fc12fc1, // ZFS
  0xf2f52010, // F2FS
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlayfs, of containers
  0x61756673, // aufs
  0x52654973, // ReiserFS
  0x3153464a, // JFS
  0x4d44, // FAT
  0x2011bab0, // exFAT
  0x5346544e, // NTFS
  0xca451a4e, // bcachefs
]);

/** Whether a file system of this type, as `statfs` says it, may show late what another machine has written. */
export function mayShowLate(type: number): boolean {
  return !LOCAL_FILE_SYSTEMS.has(type >>> 0);
}

/** The server or the connection to it is away, the file was replaced in this moment (ESTALE), or somebody has it open. */
const PASSING = [
  ...['ESTALE', 'EIO', 'EBUSY', 'ETXTBSY', 'EAGAIN', 'ETIMEDOUT', 'EHOSTDOWN', 'EHOSTUNREACH'],
  ...['ENETDOWN', 'ENETUNREACH', 'ENOTCONN', 'ECONNRESET', 'EREMOTEIO'],
];

/** One call that has failed once. */
export interface FailedFileCall<T> {
  readonly what: 'put' | 'get' | 'delete';
  readonly key: string;
  readonly path: string;
  readonly error: unknown;
  readonly signal: AbortSignal | undefined;
  readonly attempt: () => Promise<T>;
}

/** Asks again where a network disk may answer otherwise in a moment. */
export class FileRetries {
  readonly #patience: FilePatience;
  readonly #root: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #missingMs: Promise<number> | null = null;
  #hasTold = false;

  constructor(root: string, patience: FilePatience, clock: Clock, logger: Logger) {
    this.#root = root;
    this.#patience = patience;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Tries again for as long as it may help, and rejects with the last error. */
  async goOn<T>(call: FailedFileCall<T>): Promise<T> {
    const beganMs = this.#clock.monotonicMs();
    let { error } = call;
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, WAIT_MS_MAX)) {
      const limitMs = await this.#limitMs(call, error);
      if (this.#clock.monotonicMs() - beganMs + waitMs > limitMs) throw error;
      this.#tell(call, error, limitMs);
      await sleep(this.#clock, waitMs, call.signal);
      // An NFS client believes for seconds that a name is not there; opening the folder makes it ask the server.
      if (isErrno(error, 'ENOENT')) await open(dirname(call.path));
      try {
        return await call.attempt();
      } catch (next) {
        error = next;
      }
    }
  }

  async #limitMs({ what, path }: FailedFileCall<unknown>, error: unknown): Promise<number> {
    if (what === 'get' && isErrno(error, 'ENOENT')) {
      this.#missingMs ??= this.#findMissingMs(path);
      return this.#missingMs;
    }
    if (isErrno(error, ...PASSING)) return this.#patience.retryMs;
    // The temporary file was swept up with its folder, or, on SMB, a reader still has the old object open.
    const isPassing = what === 'put' && (isErrno(error, 'ENOENT') || isRename(error));
    return isPassing ? this.#patience.retryMs : 0;
  }

  async #findMissingMs(path: string): Promise<number> {
    if (this.#patience.missingMs !== null) return this.#patience.missingMs;
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      try {
        return mayShowLate((await statfs(folder)).type) ? MISSING_MS_DEFAULT : 0;
      } catch (error) {
        if (!isErrno(error, 'ENOENT') || folder === dirname(folder)) return MISSING_MS_DEFAULT;
      }
    }
  }

  /** Once in the life of a store: a disk that does so does it often. */
  #tell({ what, key, path }: FailedFileCall<unknown>, error: unknown, limitMs: number): void {
    if (this.#hasTold) return;
    this.#hasTold = true;
    const why = messageOf(error);
    this.#logger.warn(
      { folder: this.#root, key, path, limitMs },
      `waiting for the object store: object ${key}: ${what}: ${why}; asking again for ${limitMs} ms, also later without such a line`,
    );
  }
}

function isRename(error: unknown): boolean {
  return (
    isErrno(error, 'EACCES', 'EPERM') && isError(error) && 'syscall' in error && error.syscall === 'rename'
  );
}

async function open(folder: string): Promise<void> {
  try {
    await (await opendir(folder)).close();
  } catch {
    // Then it is the folder that is not there, or not yet.
  }
}
