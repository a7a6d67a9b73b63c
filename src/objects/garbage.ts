import { PREFIX_PATTERN } from '../model/limits.ts';
import { isDigestsName, isObjectName } from './keys.ts';
import type { ObjectStore } from './object-store.ts';

/**
 * What producers call the folder of a submission that has no name. Any other folder is none of ours, unless the digests of
 * a named run are in it.
 */
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Folders that queues are asked about at once: the most that one request takes. */
const FOLDERS_AT_ONCE = 10_000;
/** Folders that are looked into and deleted between two questions. */
const DELETED_AT_ONCE = 100;
/** Keys of one deletion. */
const KEYS_AT_ONCE = 1_000;

/** A queue that can tell which submissions it knows, in whatever state, by their prefixes. */
export interface KnowingQueue {
  known(prefixes: readonly string[]): Promise<readonly boolean[]>;
}

export interface GarbageSearch {
  readonly store: ObjectStore;
  /** Every queue that shares the store. What one of them knows is never touched. */
  readonly queues: readonly KnowingQueue[];
  /** A folder whose newest object was modified at or after this stays, in Unix milliseconds. */
  readonly before: number;
  /** Whether to delete what is found. */
  readonly delete: boolean;
  /** Is told of each folder that is garbage; if it is deleted, before. */
  readonly onFolder?: ((folder: GarbageFolder) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Chunk bodies of a submission that no queue knows. */
export interface GarbageFolder {
  readonly prefix: string;
  readonly objects: number;
  readonly bytes: number;
  readonly newestMs: number;
}

export interface GarbageReport {
  /** Folders directly below the store's base path. */
  readonly folders: number;
  /** Of them: with other things than chunks in them, or named neither by a UUID v7 nor as a run. */
  readonly foreign: number;
  /** Of them: submissions that a queue knows. */
  readonly known: number;
  /** Of them: unknown, but with an object that is too new. */
  readonly young: number;
  /** Of them: unknown, and old enough. */
  readonly garbage: number;
  readonly garbageObjects: number;
  readonly garbageBytes: number;
  readonly deletedObjects: number;
}

type Counts = { -readonly [K in keyof GarbageReport]: GarbageReport[K] };

/**
 * Finds the chunk bodies of submissions that no queue knows any more, or never knew, and deletes them on request.
 *
 * All folders are listed and all queues asked before the first is deleted: a queue that cannot be asked, or a store
 * that cannot be listed, ends it with nothing deleted. Right before each folder goes the queues are asked once more.
 */
export async function findGarbage(search: GarbageSearch): Promise<GarbageReport> {
  const counts: Counts = {
    folders: 0,
    foreign: 0,
    known: 0,
    young: 0,
    garbage: 0,
    garbageObjects: 0,
    garbageBytes: 0,
    deletedObjects: 0,
  };
  // Without a folder to ask about it would be found out after the first deletion that a queue is away.
  for (const queue of search.queues) await queue.known([]);
  const unknown: string[] = [];
  let named: string[] = [];
  const ask = async () => {
    const found = await unknownTo(search, named);
    counts.known += named.length - found.length;
    unknown.push(...found);
    named = [];
  };
  for await (const folder of search.store.listFolders('', callOptions(search))) {
    counts.folders++;
    if (PREFIX_PATTERN.test(folder)) named.push(folder);
    else counts.foreign++;
    if (named.length === FOLDERS_AT_ONCE) await ask();
  }
  if (named.length > 0) await ask();

  for (let at = 0; at < unknown.length; at += DELETED_AT_ONCE) {
    search.signal?.throwIfAborted();
    await sweep(search, unknown.slice(at, at + DELETED_AT_ONCE), counts);
  }
  return counts;
}

/** Looks into folders that no queue knew a while ago; what is garbage still is told, and deleted if so wished. */
async function sweep(search: GarbageSearch, prefixes: readonly string[], counts: Counts): Promise<void> {
  const old: GarbageFolder[] = [];
  for (const prefix of prefixes) {
    const found = await look(search, prefix);
    if (found === 'foreign') counts.foreign++;
    else if (found === 'young') counts.young++;
    else if (found !== 'gone') old.push(found);
  }
  // While the folders were listed a producer may have inserted what it had uploaded long before.
  const still = new Set(
    await unknownTo(
      search,
      old.map(({ prefix }) => prefix),
    ),
  );
  for (const folder of old) {
    // The folders before this one may have taken long to delete: what counts is what the queues know now, and whether
    // a producer has begun to continue the upload of a named run.
    const isKnown =
      !still.has(folder.prefix) || (search.delete && (await unknownTo(search, [folder.prefix])).length === 0);
    if (isKnown) {
      counts.known++;
      continue;
    }
    if (search.delete && !UUID_V7.test(folder.prefix) && (await look(search, folder.prefix)) === 'young') {
      counts.young++;
      continue;
    }
    counts.garbage++;
    counts.garbageObjects += folder.objects;
    counts.garbageBytes += folder.bytes;
    search.onFolder?.(folder);
    if (search.delete) counts.deletedObjects += await deleteFolder(search, folder.prefix);
  }
}

/** What lies in a folder. */
async function look(
  search: GarbageSearch,
  prefix: string,
): Promise<GarbageFolder | 'foreign' | 'young' | 'gone'> {
  let objects = 0;
  let bytes = 0;
  let newestMs = 0;
  let isYoung = false;
  let isOurs = UUID_V7.test(prefix);
  for await (const { key, sizeBytes, modifiedMs } of search.store.list(prefix, callOptions(search))) {
    const name = nameIn(prefix, key);
    if (name === null) return 'foreign';
    isOurs ||= isDigestsName(name);
    objects++;
    bytes += sizeBytes;
    newestMs = Math.max(newestMs, modifiedMs);
    isYoung ||= !isOld(search, modifiedMs);
  }
  if (objects === 0) return 'gone';
  if (!isOurs) return 'foreign';
  return isYoung ? 'young' : { prefix, objects, bytes, newestMs };
}

async function deleteFolder(search: GarbageSearch, prefix: string): Promise<number> {
  let deleted = 0;
  let keys: string[] = [];
  /** The last: without them nothing would tell the rest of a named run from what is not ours. */
  const digests: string[] = [];
  const flush = async () => {
    await search.store.delete(keys, callOptions(search));
    deleted += keys.length;
    keys = [];
  };
  for await (const { key, modifiedMs } of search.store.list(prefix, callOptions(search))) {
    // What came since it was looked into is left: somebody works there.
    const name = nameIn(prefix, key);
    if (name === null || !isOld(search, modifiedMs)) continue;
    if (isDigestsName(name)) digests.push(key);
    else keys.push(key);
    if (keys.length === KEYS_AT_ONCE) await flush();
  }
  if (keys.length > 0) await flush();
  keys = digests;
  if (keys.length > 0) await flush();
  return deleted;
}

/** Those of the prefixes that no queue knows. */
async function unknownTo(search: GarbageSearch, prefixes: readonly string[]): Promise<string[]> {
  let left = [...prefixes];
  for (const queue of search.queues) {
    if (left.length === 0) break;
    search.signal?.throwIfAborted();
    const known = await queue.known(left);
    if (known.length !== left.length)
      throw new Error(`asked for ${left.length} prefixes, told of ${known.length}`);
    left = left.filter((_, index) => known[index] === false);
  }
  return left;
}

/** An object without a date counts as new, and so does one with a date in the future. */
function isOld({ before }: GarbageSearch, modifiedMs: number): boolean {
  return modifiedMs > 0 && modifiedMs < before;
}

/** What an object in a folder is called, if it is one of ours. */
function nameIn(prefix: string, key: string): string | null {
  const name = key.slice(prefix.length + 1);
  return key.startsWith(`${prefix}/`) && isObjectName(name) ? name : null;
}

function callOptions({ signal }: GarbageSearch): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
