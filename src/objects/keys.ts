import { IncorrectUsageError } from '../model/errors.ts';
import type { ChunkIndex } from '../model/ids.ts';
import { PREFIX_PATTERN } from '../model/limits.ts';

/** A chunk's input or its output. */
export type ChunkKind = 'in' | 'out';

/** What a file of a chunk is called, in the folder of its submission. */
export const CHUNK_NAME_PATTERN = /^(?:0|[1-9][0-9]{0,9})-(?:in|out)\.bin$/;

/** What a file of digests of a named run is called, in the folder of its chunks, and the one of what is disputed of them. */
const DIGESTS_NAME_PATTERN = /^digests-(?:0|[1-9][0-9]{0,6}|disputed)\.bin$/;

/** Whether a file in the folder of a submission is one of ours. */
export function isObjectName(name: string): boolean {
  return CHUNK_NAME_PATTERN.test(name) || isDigestsName(name);
}

/** Whether it holds digests of a named run. */
export function isDigestsName(name: string): boolean {
  return DIGESTS_NAME_PATTERN.test(name);
}

const ENCODED = new Set(Array.from('\\{^}%`]">[~<#|*?', (character) => character.charCodeAt(0)));

/**
 * The key of a chunk's body, relative to the store's base path. The original opsqueue makes the same one, also
 * from odd prefixes of old producers (`a/b`, `é`).
 *
 * @throws IncorrectUsageError for a prefix that is empty or tries to leave the store's folder
 */
export function chunkKey(prefix: string, index: ChunkIndex, kind: ChunkKind): string {
  return `${submissionFolder(prefix)}/${index}-${kind}.bin`;
}

/** The key of a block of digests of a named run; throws as {@link chunkKey} does. */
export function digestsKey(prefix: string, block: number): string {
  return `${submissionFolder(prefix)}/digests-${block}.bin`;
}

/** The key of what producers of a named run have put over each other's chunks; throws as {@link chunkKey} does. */
export function disputesKey(prefix: string): string {
  return `${submissionFolder(prefix)}/digests-disputed.bin`;
}

/** The position of the chunk whose input has this name; null for any other object. */
export function inputIndexOf(name: string): ChunkIndex | null {
  return CHUNK_NAME_PATTERN.test(name) && name.endsWith('-in.bin') ? Number.parseInt(name, 10) : null;
}

export function isOutputName(name: string): boolean {
  return CHUNK_NAME_PATTERN.test(name) && name.endsWith('-out.bin');
}

/** The folder of a submission's chunk bodies, relative to the store's base path; throws as {@link chunkKey} does. */
export function submissionFolder(prefix: string): string {
  // All that ours ever writes; the rest is for what old producers wrote.
  if (PREFIX_PATTERN.test(prefix)) return prefix;
  const segments = prefix.split('/').filter((segment) => segment !== '');
  if (segments.length === 0 || segments.includes('.') || segments.includes('..') || prefix.length > 1000) {
    throw new IncorrectUsageError(
      `prefix ${JSON.stringify(prefix.slice(0, 1000))}: not the name of a folder inside the object store`,
    );
  }
  return encodeName(prefix);
}

/**
 * An object's name from a path: split at `/`, empty segments dropped, and in each segment these bytes of its UTF-8
 * percent-encoded: controls, all beyond ASCII, and ``\ { ^ } % ` ] " > [ ~ < # | * ?``. A segment that is just `.`
 * or `..` becomes `%2E`, `%2E%2E`.
 */
export function encodeName(path: string): string {
  return path
    .split('/')
    .filter((segment) => segment !== '')
    .map(encodeSegment)
    .join('/');
}

function encodeSegment(segment: string): string {
  if (segment === '.') return '%2E';
  if (segment === '..') return '%2E%2E';
  if (/^[\w.+ -]*$/.test(segment)) return segment;
  let encoded = '';
  for (const byte of Buffer.from(segment, 'utf8')) {
    encoded +=
      byte < 0x20 || byte >= 0x7f || ENCODED.has(byte)
        ? `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
        : String.fromCharCode(byte);
  }
  return encoded;
}
