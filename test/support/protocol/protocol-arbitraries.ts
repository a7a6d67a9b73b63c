import fc from 'fast-check';
import { SUBMISSION_ID_MAX } from '../../../src/model/ids.ts';
import {
  CHUNKS_PER_SUBMISSION_MAX,
  META_KEY_BYTES_MAX,
  META_VALUE_MAX,
  META_VALUE_MIN,
  STRATEGY_DEPTH_MAX,
} from '../../../src/model/limits.ts';
import type { RetryPolicy } from '../../../src/model/retry.ts';
import { Strategy } from '../../../src/model/strategy.ts';
import {
  EMPTY_TRACE_CARRIER,
  END_STATES,
  type FailedChunk,
  type SubmissionFacts,
  type SubmissionStatus,
} from '../../../src/model/submission.ts';
import type { ClientMessage, Nonce, ServerMessage } from '../../../src/protocol/consumer/types.ts';
import type { ChunksDoneAnswer, InsertRequest } from '../../../src/protocol/producer/requests.ts';

/** Generated values of the protocol, with the extremes of its types among them. */

export function submissionIds(): fc.Arbitrary<bigint> {
  return fc.oneof(
    fc.bigInt({ min: 0n, max: SUBMISSION_ID_MAX }),
    fc.constantFrom(
      0n,
      23n,
      24n,
      255n,
      256n,
      65_535n,
      2n ** 32n - 1n,
      2n ** 32n,
      2n ** 53n,
      SUBMISSION_ID_MAX,
    ),
  );
}

/** Below 2^53, every width of integer. */
export function counts(): fc.Arbitrary<number> {
  return fc.oneof(fc.nat(300), fc.nat(2 ** 31 - 1), fc.maxSafeNat());
}

export function nonces(): fc.Arbitrary<Nonce> {
  return fc.oneof(fc.maxSafeNat(), fc.nat(30), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }));
}

export function byteContents(): fc.Arbitrary<Uint8Array | null> {
  return fc.option(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(0))));
}

export function texts(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.constantFrom('', '__proto__', 'x'.repeat(300)),
  );
}

export function metadataPairs(): fc.Arbitrary<ReadonlyMap<string, bigint>> {
  const value = fc.oneof(
    fc.bigInt({ min: META_VALUE_MIN, max: META_VALUE_MAX }),
    fc.constantFrom(META_VALUE_MIN, META_VALUE_MAX, 0n, -1n, -24n, -25n),
  );
  const key = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.constantFrom('__proto__', 'constructor', ''),
  );
  return fc.array(fc.tuple(key, value), { maxLength: 6 }).map((pairs) => new Map(pairs));
}

/** Of every kind, nested in every way. */
export function strategies(): fc.Arbitrary<Strategy> {
  const key = fc
    .string({ unit: 'grapheme', maxLength: 20 })
    .filter((text) => Buffer.byteLength(text) <= META_KEY_BYTES_MAX);
  const value = fc.bigInt({ min: META_VALUE_MIN, max: META_VALUE_MAX });
  const values = fc.array(value, { minLength: 1, maxLength: 5 });
  const { strategy } = fc.letrec<{ strategy: Strategy }>((tie) => ({
    strategy: fc.oneof(
      { maxDepth: 4, depthSize: 'medium' },
      fc.constantFrom(Strategy.oldest(), Strategy.newest(), Strategy.random()),
      fc.tuple(key, tie('strategy')).map(([key, inner]) => Strategy.preferDistinct(key, inner)),
      fc.tuple(key, tie('strategy')).map(([key, inner]) => Strategy.priority(key, inner)),
      fc.tuple(key, values, tie('strategy')).map((args) => Strategy.selectOnly(...args)),
      fc.tuple(key, values, tie('strategy')).map((args) => Strategy.selectExcept(...args)),
      fc
        .tuple(key, fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), tie('strategy'))
        .map((args) => Strategy.maxSimultaneous(...args)),
      fc.tuple(tie('strategy'), tie('strategy')).map((args) => Strategy.orElse(...args)),
    ),
  }));
  const keys = fc.array(key, { maxLength: STRATEGY_DEPTH_MAX });
  const deep = keys.map((keys) =>
    keys.reduce((inner, key) => Strategy.preferDistinct(key, inner), Strategy.random()),
  );
  return fc.oneof(strategy, deep);
}

export function submissionRecords(): fc.Arbitrary<SubmissionFacts> {
  return struct({
    id: submissionIds(),
    prefix: fc.option(texts()),
    chunksTotal: counts(),
    chunkSizeOps: counts().map((size) => Math.max(1, size)),
    metadata: byteContents(),
    strategicMetadata: metadataPairs(),
    otelTraceCarrier: texts(),
    retryDelayMs: fc.constant(0),
    retry: fc.constant(null),
    failureMode: fc.constant('fail' as const),
  });
}

/** One for each kind: the compiler asks for those that are missing. */
type EachKind<M extends { readonly kind: string }> = {
  [K in M['kind']]: fc.Arbitrary<Extract<M, { readonly kind: K }>>;
};

function anyKind<M extends { readonly kind: string }>(each: EachKind<M>): fc.Arbitrary<M> {
  return fc.oneof(...Object.values<fc.Arbitrary<M>>(each));
}

export function clientMessages(): fc.Arbitrary<ClientMessage> {
  const chunk = chunkIds();
  const chunks = fc.array(chunk, { maxLength: 30 });
  return anyKind<ClientMessage>({
    reserve: struct({
      kind: fc.constant('reserve' as const),
      nonce: nonces(),
      max: counts(),
      strategy: strategies(),
    }),
    complete: struct({
      kind: fc.constant('complete' as const),
      nonce: nonces(),
      chunk,
      outputContent: byteContents(),
    }),
    fail: struct({
      kind: fc.constant('fail' as const),
      nonce: nonces(),
      chunk,
      failure: texts(),
      retryable: fc.boolean(),
      delayMs: fc.nat(),
    }),
    release: struct({ kind: fc.constant('release' as const), nonce: nonces(), chunks }),
    extend: struct({ kind: fc.constant('extend' as const), nonce: nonces(), chunks }),
    cancel_reserve: struct({
      kind: fc.constant('cancel_reserve' as const),
      nonce: nonces(),
      reserveNonce: nonces(),
    }),
  });
}

export function serverMessages(): fc.Arbitrary<ServerMessage> {
  const chunk = chunkIds();
  return anyKind<ServerMessage>({
    init: struct({
      kind: fc.constant('init' as const),
      missableHeartbeatsMax: fc.nat(),
      heartbeatIntervalMs: fc.nat(),
      versionInfo: texts(),
      connId: texts(),
      features: fc.array(texts(), { maxLength: 5 }),
    }),
    reserved: reservedMessages(),
    reserve_refused: struct({
      kind: fc.constant('reserve_refused' as const),
      nonce: nonces(),
      reason: fc.option(texts()),
    }),
    expired: struct({ kind: fc.constant('expired' as const), chunk }),
    dropped: struct({ kind: fc.constant('dropped' as const), chunk, reason: texts() }),
  });
}

/** Answers whose chunks come in runs of one submission, as those of a server do. */
export function reservedMessages(): fc.Arbitrary<Extract<ServerMessage, { kind: 'reserved' }>> {
  const one = struct({ chunkIndex: counts(), inputContent: byteContents(), retries: fc.nat() });
  const run = fc
    .tuple(submissionRecords(), counts(), fc.array(one, { maxLength: 4 }))
    .map(([submission, chunksDone, items]) =>
      items.map(({ chunkIndex, inputContent, retries }) => ({
        chunk: { submissionId: submission.id, chunkIndex },
        inputContent,
        retries,
        submission,
        chunksDone,
      })),
    );
  return struct({
    kind: fc.constant('reserved' as const),
    nonce: nonces(),
    chunks: fc.array(run, { maxLength: 3 }).map((runs) => runs.flat()),
  });
}

/** Plain objects, which strict comparison wants. */
function struct<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(fields, { noNullPrototype: true });
}

function chunkIds() {
  return struct({ submissionId: submissionIds(), chunkIndex: counts() });
}

export function prefixes(): fc.Arbitrary<string> {
  return fc.stringMatching(/^[0-9A-Za-z][0-9A-Za-z._-]{0,199}$/);
}

export function insertRequests(): fc.Arbitrary<InsertRequest> {
  const objectStorage = struct({
    kind: fc.constant('object_storage' as const),
    prefix: prefixes(),
    count: fc.oneof(fc.nat(), fc.constantFrom(0, CHUNKS_PER_SUBMISSION_MAX)),
  });
  const direct = struct({
    kind: fc.constant('direct' as const),
    contents: fc.array(byteContents(), { maxLength: 5 }),
  });
  return struct<InsertRequest>({
    contents: fc.oneof(objectStorage, direct),
    metadata: byteContents(),
    strategicMetadata: metadataPairs(),
    chunkSizeOps: fc.option(counts().map((size) => Math.max(1, size))),
    retryDelayMs: fc.nat(),
    retry: fc.option(retryPolicies()),
    failureMode: fc.constantFrom('fail', 'collect'),
  });
}

/** Times are whole milliseconds, of the years that RFC 3339 can tell. */
export function submissionStatuses(): fc.Arbitrary<SubmissionStatus> {
  const record = submissionRecords();
  const endedAtMs = fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 });
  const failedChunk = struct({ chunkIndex: counts(), inputContent: byteContents(), failure: texts() });
  return fc.oneof(
    struct({
      state: fc.constant('in_progress' as const),
      record,
      chunksDone: counts(),
      chunksFailed: fc.constant(0),
    }),
    struct({ state: fc.constant('completed' as const), record, endedAtMs }),
    struct({
      state: fc.constant('failed' as const),
      record,
      endedAtMs,
      chunksDone: fc.option(counts()),
      failedChunk,
    }),
    struct({
      state: fc.constant('cancelled' as const),
      // These two are not told of a cancelled submission.
      record: record.map((value) => ({
        ...value,
        chunkSizeOps: null,
        otelTraceCarrier: EMPTY_TRACE_CARRIER,
      })),
      endedAtMs,
      chunksDone: counts(),
    }),
  );
}

export function chunksDoneAnswers(): fc.Arbitrary<ChunksDoneAnswer> {
  const page = struct({
    page: fc.nat(),
    content: fc.oneof(fc.constant('full' as const), fc.uint8Array({ maxLength: 512 })),
  });
  return struct<ChunksDoneAnswer>({
    state: fc.constantFrom('in_progress', ...END_STATES),
    chunksTotal: counts(),
    chunksDone: counts(),
    pages: fc.array(page, { maxLength: 4 }),
    nextPage: fc.option(fc.nat()),
    chunksFailed: fc.constant(0),
    failedPages: fc.constant([]),
  }).chain((answer) =>
    fc.oneof(
      fc.constant(answer),
      fc
        .tuple(fc.integer({ min: 1 }), fc.array(page, { maxLength: 4 }))
        .map(([chunksFailed, failedPages]) => ({ ...answer, chunksFailed, failedPages })),
    ),
  );
}

/** Of a submission that collects failures, as clients of ours are told. */
export function collectingStatuses(): fc.Arbitrary<SubmissionStatus> {
  const failedChunk = struct({ chunkIndex: counts(), inputContent: byteContents(), failure: texts() });
  return fc
    .tuple(submissionRecords(), fc.nat(1_000), fc.nat(1_000), fc.boolean(), failedChunk)
    .map(([plain, chunksDone, chunksFailed, hasEnded, failed]) => {
      const chunksTotal = hasEnded ? chunksDone + chunksFailed : plain.chunksTotal;
      const record = { ...plain, chunksTotal, failureMode: 'collect' as const };
      return hasEnded
        ? { state: 'completed_with_failures', record, endedAtMs: 7, chunksDone, failedChunk: failed }
        : { state: 'in_progress', record, chunksDone, chunksFailed };
    });
}

export function failedChunkLists(): fc.Arbitrary<FailedChunk[]> {
  const failedChunk = struct({ chunkIndex: counts(), inputContent: byteContents(), failure: texts() });
  return fc.array(failedChunk, { maxLength: 4 });
}

function retryPolicies(): fc.Arbitrary<RetryPolicy> {
  const ms = fc.double({ min: 0, max: 7 * 24 * 3_600_000, noNaN: true }).map((value) => value + 0);
  return struct<RetryPolicy>({
    triesMax: fc.option(fc.integer({ min: 1, max: 1_000_000_000 })),
    delayMs: ms,
    factor: fc.double({ min: 1, max: 1_000, noNaN: true }),
    delayMsMax: ms,
    // Without an exponent: cut short it is still in range.
    jitter: fc.nat(100).map((hundredths) => hundredths / 100),
  });
}
