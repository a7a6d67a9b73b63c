/**
 * The id of a submission: a 63-bit snowflake, `unix_ms << 22 | shard (10 bit) << 12 | sequence (12 bit)`.
 * A bigint everywhere inside, because it does not fit a double.
 */
export type SubmissionId = bigint;

/** The position of a chunk in its submission, from 0; below 2^32 (`CHUNKS_PER_SUBMISSION_MAX`). */
export type ChunkIndex = number;

/** The part of the queue that owns a submission: the snowflake's 10 instance bits; 0 on a single node. */
export type ShardId = number;

/** Names one chunk of one submission. */
export interface ChunkId {
  readonly submissionId: SubmissionId;
  readonly chunkIndex: ChunkIndex;
}

/** The largest id that the wire protocol can carry: 2^63 - 1. */
export const SUBMISSION_ID_MAX: SubmissionId = (1n << 63n) - 1n;

const SHARD_SHIFT = 12n;
const TIME_SHIFT = 22n;

/**
 * The next id of a shard: rises always, also when the clock steps back or more than 4096 ids are wanted
 * within one millisecond (then it runs ahead of the clock).
 *
 * @param previous the highest id this shard ever gave out, 0n if none
 * @param nowMs Unix time in milliseconds
 */
export function nextSubmissionId(previous: SubmissionId, nowMs: number, shard: ShardId): SubmissionId {
  const shardBits = BigInt(shard) << SHARD_SHIFT;
  const fresh = (BigInt(Math.floor(nowMs)) << TIME_SHIFT) | shardBits;
  if (fresh > previous) return fresh;
  // One that was moved in may be of another shard.
  const isOwn = submissionIdShard(previous) === shard;
  if (isOwn && (previous & 0xfffn) < 0xfffn) return previous + 1n;
  return (((previous >> TIME_SHIFT) + 1n) << TIME_SHIFT) | shardBits;
}

/** The time at which an id was made, in Unix milliseconds. */
export function submissionIdTimeMs(id: SubmissionId): number {
  return Number(id >> TIME_SHIFT);
}

/** The shard that owns an id. */
export function submissionIdShard(id: SubmissionId): ShardId {
  return Number((id >> SHARD_SHIFT) & 0x3ffn);
}

/** The id that a caller gave, as text (from a file, with the end of a line after it) or as a bigint; null if it is not one. */
export function submissionIdOf(value: unknown): SubmissionId | null {
  const id = typeof value === 'string' && /^\s*[0-9]{1,19}\s*$/.test(value) ? BigInt(value) : value;
  return typeof id === 'bigint' && id >= 0n && id <= SUBMISSION_ID_MAX ? id : null;
}
