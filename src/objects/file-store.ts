import * as fs from 'node:fs';
import { access, lstat, mkdir, open, opendir, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EventLoopShare } from '../system/event-loop/share.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock } from '../system/time/clock.ts';
import { fileError, isErrno } from './file-errors.ts';
import { type FailedFileCall, type FilePatience, FileRetries } from './file-retries.ts';
import { isObjectName } from './keys.ts';
import type { ObjectCallOptions, ObjectInfo, ObjectStore } from './object-store.ts';
import type { ObjectStoreLocation } from './url.ts';

export interface FileStoreOptions {
  /** Whether a `put` resolves only when the object would survive a power failure. Default false. */
  readonly durable: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly patience: FilePatience;
}

/**
 * Above this an object is read and written through Node's thread pool. Below it the synchronous calls are used:
 * measured on a local disk they take 10 to 100 µs, a third to a tenth of the time of the others at concurrency 1,
 * and half their CPU at any.
 */
const SYNC_BYTES_MAX = 256 * 1024;
/**
 * A synchronous call on a disk that hangs blocks its thread, and with it whatever else lives there (heartbeats), and
 * nothing can end it. So they are for a disk that answered within so many milliseconds ...
 */
const FAST_MS_MAX = 20;
/** ... this long ago at most; all others go through the thread pool. */
const FAST_FOR_MS = 1_000;

/** Number of other writers of the same object, dead ones included, that a `put` steps around. */
const TEMPORARIES_MAX = 10_000;
/** A temporary file older than this belongs to a writer that died. */
const TEMPORARY_AGE_MS = 3_600_000;
const STATS_AT_ONCE = 32;

/** `file:`: a folder of this machine (or of a network disk). An object's name is its path, see {@link encodeName}. */
export class FileStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  readonly #durable: boolean;
  readonly #clock: Clock;
  readonly #share: EventLoopShare;
  readonly #retries: FileRetries;
  #fastUntilMs = Number.NEGATIVE_INFINITY;

  constructor(location: ObjectStoreLocation, options: FileStoreOptions) {
    this.url = location.url;
    this.#root = process.platform === 'win32' ? location.baseName : `/${location.baseName}`;
    this.#durable = options.durable;
    this.#clock = options.clock;
    this.#share = new EventLoopShare(options.clock);
    this.#retries = new FileRetries(this.#root, options.patience, options.clock, options.logger);
  }

  async put(key: string, body: Uint8Array, options?: ObjectCallOptions): Promise<void> {
    options?.signal?.throwIfAborted();
    const path = this.#path(key);
    const turn = this.#share.due();
    if (turn !== null) await turn;
    try {
      if (!this.#durable && body.length <= SYNC_BYTES_MAX && this.#isFast()) {
        return this.#timed(() => writeAtomicallySync(path, body));
      }
      await this.#timedAsync(writeAtomically(path, body, this.#durable));
    } catch (error) {
      await this.#again({ what: 'put', verb: 'write', key, path, error, signal: options?.signal }, () =>
        writeAtomically(path, body, this.#durable),
      );
    }
  }

  async get(key: string, options?: ObjectCallOptions): Promise<Uint8Array> {
    options?.signal?.throwIfAborted();
    const path = this.#path(key);
    const turn = this.#share.due();
    if (turn !== null) await turn;
    try {
      if (this.#isFast()) {
        const bytes = this.#timed(() => readSmallSync(path));
        if (bytes !== null) return bytes;
      }
      return await this.#timedAsync(readWhole(path));
    } catch (error) {
      return this.#again({ what: 'get', verb: 'read', key, path, error, signal: options?.signal }, () =>
        readWhole(path),
      );
    }
  }

  async delete(keys: readonly string[], options?: ObjectCallOptions): Promise<void> {
    const folders = new Set<string>();
    for (let i = 0; i < keys.length; i += STATS_AT_ONCE) {
      options?.signal?.throwIfAborted();
      await Promise.all(
        keys.slice(i, i + STATS_AT_ONCE).map(async (key) => {
          const path = this.#path(key);
          try {
            await unlink(path);
          } catch (error) {
            if (!isErrno(error, 'ENOENT', 'ENOTDIR')) {
              const call = {
                what: 'delete',
                verb: 'delete',
                key,
                path,
                error,
                signal: options?.signal,
              } as const;
              await this.#again(call, () => unlinkIfThere(path));
            }
          }
          folders.add(dirname(path));
        }),
      );
    }
    for (const folder of folders) await this.#removeEmptied(folder);
  }

  async *list(folder: string, options?: ObjectCallOptions): AsyncGenerator<ObjectInfo> {
    const path = folder === '' ? this.#root : this.#path(folder);
    yield* this.#walk(path, folder === '' ? '' : `${folder}/`, options?.signal);
  }

  async *listFolders(folder: string, options?: ObjectCallOptions): AsyncGenerator<string> {
    const path = folder === '' ? this.#root : this.#path(folder);
    const inside = folder === '' ? '' : `${folder}/`;
    // A wrong path, or a disk that is not mounted, must not look like a store in which there is nothing to find.
    if (folder === '') await this.#expectRoot();
    for await (const entry of entriesOf(path, folder)) {
      if (!entry.isDirectory()) continue;
      if (await hasAny(this.#walk(`${path}/${entry.name}`, `${inside}${entry.name}/`, options?.signal))) {
        yield entry.name;
      }
    }
  }

  async close(): Promise<void> {}

  /** Tries a call that failed again where that may help; throws what remains of it. */
  async #again<T>(
    { verb, ...call }: Omit<FailedFileCall<T>, 'attempt'> & { readonly verb: string },
    attempt: () => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#retries.goOn({ ...call, attempt });
    } catch (error) {
      if (call.signal?.aborted && error === call.signal.reason) throw error;
      throw fileError(error, call.key, `cannot ${verb} ${call.path}`);
    }
  }

  async #expectRoot(): Promise<void> {
    try {
      await access(this.#root);
    } catch (error) {
      throw fileError(error, '', `cannot list ${this.#root}`);
    }
  }

  /**
   * Yields what is no file too, such as a symbolic link: whoever decides what a folder holds must hear of all of it.
   */
  async *#walk(path: string, inside: string, signal: AbortSignal | undefined): AsyncGenerator<ObjectInfo> {
    let batch: string[] = [];
    for await (const entry of entriesOf(path, inside)) {
      signal?.throwIfAborted();
      if (entry.isDirectory()) {
        yield* this.#walk(`${path}/${entry.name}`, `${inside}${entry.name}/`, signal);
      } else if (!isTemporary(entry.name)) {
        batch.push(entry.name);
        if (batch.length === STATS_AT_ONCE) {
          yield* await statAll(path, inside, batch);
          batch = [];
        }
      }
    }
    yield* await statAll(path, inside, batch);
  }

  /** Takes away a folder in which nothing is left, and its parents, as other stores have no folders at all. */
  async #removeEmptied(folder: string): Promise<void> {
    for (let path = folder; path.length > this.#root.length; path = dirname(path)) {
      try {
        await rmdir(path);
      } catch (error) {
        if (isErrno(error, 'ENOENT')) continue;
        if (!isErrno(error, 'ENOTEMPTY', 'EEXIST') || !(await this.#removeAbandoned(path))) return;
      }
    }
  }

  /** Removes the temporary files of writers that died; true if the folder is gone with them. */
  async #removeAbandoned(folder: string): Promise<boolean> {
    try {
      const names = await readdir(folder);
      if (names.length > 1_000 || !names.every((name) => isTemporary(name))) return false;
      for (const name of names) {
        const { mtimeMs } = await lstat(`${folder}/${name}`);
        if (this.#clock.nowMs() - mtimeMs < TEMPORARY_AGE_MS) return false;
        await unlink(`${folder}/${name}`);
      }
      await rmdir(folder);
      return true;
    } catch {
      // Someone else writes there or cleans there: then it stays, and the next deletion tries again.
      return false;
    }
  }

  #path(key: string): string {
    if (key === '' || key.split('/').some((part) => part === '' || part === '.' || part === '..')) {
      throw fileError(new Error('not a key'), key, 'the key leaves the folder of the store');
    }
    return `${this.#root === '/' ? '' : this.#root}/${key}`;
  }

  #isFast(): boolean {
    return this.#clock.monotonicMs() <= this.#fastUntilMs;
  }

  #timed<T>(run: () => T): T {
    const beganMs = this.#clock.monotonicMs();
    try {
      return run();
    } finally {
      const endedMs = this.#clock.monotonicMs();
      const isFast = endedMs - beganMs <= FAST_MS_MAX;
      this.#fastUntilMs = isFast ? endedMs + FAST_FOR_MS : Number.NEGATIVE_INFINITY;
    }
  }

  /** A slow one says nothing: large objects take their time. */
  async #timedAsync<T>(call: Promise<T>): Promise<T> {
    const beganMs = this.#clock.monotonicMs();
    try {
      return await call;
    } finally {
      const endedMs = this.#clock.monotonicMs();
      if (endedMs - beganMs <= FAST_MS_MAX) this.#fastUntilMs = endedMs + FAST_FOR_MS;
    }
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
  }
}

async function statAll(path: string, inside: string, names: readonly string[]): Promise<ObjectInfo[]> {
  const infos = await Promise.all(
    names.map(async (name) => {
      try {
        const { size, mtimeMs } = await lstat(`${path}/${name}`);
        return { key: inside + name, sizeBytes: size, modifiedMs: mtimeMs };
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return null;
        throw fileError(error, inside + name, `cannot read ${path}/${name}`);
      }
    }),
  );
  return infos.filter((info) => info !== null);
}

/** Whether a `put` gave a file its name for as long as it is being written; nothing else with a `#` in it is ours. */
function isTemporary(name: string): boolean {
  const at = name.lastIndexOf('#');
  return at !== -1 && isObjectName(name.slice(0, at)) && /^[0-9]+$/.test(name.slice(at + 1));
}

async function hasAny(objects: AsyncIterable<ObjectInfo>): Promise<boolean> {
  for await (const _ of objects) return true;
  return false;
}

/** What lies in a folder; nothing if there is no such folder (any more). */
async function* entriesOf(path: string, key: string): AsyncGenerator<fs.Dirent> {
  try {
    for await (const entry of await opendir(path, { bufferSize: 256 })) yield entry;
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw fileError(error, key, `cannot list ${path}`);
  }
}

/** Like the original: a temporary name beside the object's own, then a rename over it. */
function writeAtomicallySync(path: string, body: Uint8Array): void {
  const { fd, temporary } = openTemporarySync(path);
  try {
    try {
      for (let written = 0; written < body.length; ) written += fs.writeSync(fd, body, written);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, path);
  } catch (error) {
    tryUnlinkSync(temporary);
    throw error;
  }
}

function openTemporarySync(path: string): { fd: number; temporary: string } {
  for (let n = 1; ; n++) {
    const temporary = `${path}#${n}`;
    try {
      return { fd: fs.openSync(temporary, 'wx'), temporary };
    } catch (error) {
      if (isErrno(error, 'ENOENT') && n < TEMPORARIES_MAX) fs.mkdirSync(dirname(path), { recursive: true });
      else if (!isErrno(error, 'EEXIST') || n >= TEMPORARIES_MAX) throw error;
    }
  }
}

function tryUnlinkSync(path: string): void {
  try {
    fs.unlinkSync(path);
  } catch {
    // The error of the write is the one to tell; the file is swept up with its folder.
  }
}

async function writeAtomically(path: string, body: Uint8Array, durable: boolean): Promise<void> {
  const { handle, temporary, made } = await openTemporary(path);
  try {
    try {
      for (let written = 0; written < body.length; ) {
        written += (await handle.write(body, written)).bytesWritten;
      }
      if (durable) await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  if (durable) await syncFolders(dirname(path), made);
}

async function openTemporary(path: string) {
  let made: string | undefined;
  for (let n = 1; ; n++) {
    const temporary = `${path}#${n}`;
    try {
      return { handle: await open(temporary, 'wx'), temporary, made };
    } catch (error) {
      if (isErrno(error, 'ENOENT') && n < TEMPORARIES_MAX) {
        made = (await mkdir(dirname(path), { recursive: true })) ?? made;
      } else if (!isErrno(error, 'EEXIST') || n >= TEMPORARIES_MAX) {
        throw error;
      }
    }
  }
}

/** Makes names durable: that of the file, and those of the folders that were made for it (`made` is the topmost). */
async function syncFolders(folder: string, made: string | undefined): Promise<void> {
  const top = made === undefined ? folder : dirname(made);
  for (let path = folder; ; path = dirname(path)) {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (path.length <= top.length) return;
  }
}

/** null: too large for a synchronous call. */
function readSmallSync(path: string): Uint8Array | null {
  const fd = fs.openSync(path, 'r');
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw notAFile(path);
    if (stat.size > SYNC_BYTES_MAX) return null;
    const bytes = new Uint8Array(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const read = fs.readSync(fd, bytes, length, bytes.length - length, null);
      if (read === 0) break;
      length += read;
    }
    return length === bytes.length ? bytes : bytes.slice(0, length);
  } finally {
    fs.closeSync(fd);
  }
}

async function readWhole(path: string): Promise<Uint8Array> {
  const handle = await open(path, 'r');
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw notAFile(path);
    const bytes = new Uint8Array(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return length === bytes.length ? bytes : bytes.slice(0, length);
  } finally {
    await handle.close();
  }
}

function notAFile(path: string): Error {
  return Object.assign(new Error(`${path} is not a file`), { code: 'ENOENT' });
}
