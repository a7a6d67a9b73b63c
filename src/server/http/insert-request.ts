import { type Control, NO_CONTROL } from '../../model/control.ts';
import { ProtocolError } from '../../model/errors.ts';
import { OPERATIONS_PER_SUBMISSION_MAX } from '../../model/limits.ts';
import { RETRY_DEFAULT, type RetryPolicy } from '../../model/retry.ts';
import type { RequestHead } from '../../net/http/head.ts';
import { type InsertRequest, parseInsertRequest } from '../../protocol/producer/requests.ts';
import { traceCarrierOf } from '../../protocol/producer/trace-carrier.ts';
import type { NewSubmission } from '../../queue/inserts.ts';

const IDEMPOTENCY_KEY = /^[0-9A-Za-z._-]{1,200}$/;

/**
 * What a request to insert asks for.
 *
 * @param retryDefault for producers that name no policy; null: failed chunks are tried again at once
 * @throws ProtocolError, JsonSyntaxError
 */
export function newSubmissionOf(
  body: Uint8Array,
  head: RequestHead,
  queue: string,
  retryDefault: RetryPolicy | null,
): NewSubmission {
  const request = parseInsertRequest(body);
  const { contents } = request;
  checkOperations(request);
  const fixed = {
    queue,
    metadata: request.metadata,
    strategicMetadata: request.strategicMetadata,
    chunkSizeOps: request.chunkSizeOps ?? 1,
    retryDelayMs: request.retryDelayMs,
    ...controlOf(request),
    failureMode: request.failureMode,
    retry: request.retry ?? retryOf(request, head, retryDefault),
    otelTraceCarrier: traceCarrierOf((name) => head.header(name)),
  };
  if (contents.kind === 'object_storage') {
    return { ...fixed, prefix: contents.prefix, chunksTotal: contents.count };
  }
  return {
    ...fixed,
    prefix: null,
    chunksTotal: contents.contents.length,
    directInputs: contents.contents,
    idempotencyKey: idempotencyKeyOf(head),
  };
}

function controlOf({ deadlineMs = null, startAfterMs = null }: InsertRequest): {
  readonly control?: Control;
} {
  return deadlineMs === null && startAfterMs === null
    ? {}
    : { control: { ...NO_CONTROL, deadlineMs, startAfterMs } };
}

/** Of a producer that names no policy. */
function retryOf(
  { retryDelayMs }: InsertRequest,
  head: RequestHead,
  retryDefault: RetryPolicy | null,
): RetryPolicy | null {
  if (retryDelayMs > 0) return null;
  return head.header('opsqueue-retry') === 'default' ? RETRY_DEFAULT : retryDefault;
}

function checkOperations({ contents, chunkSizeOps }: InsertRequest): void {
  const chunks = contents.kind === 'object_storage' ? contents.count : contents.contents.length;
  if (chunks * (chunkSizeOps ?? 1) <= OPERATIONS_PER_SUBMISSION_MAX) return;
  throw new ProtocolError(
    'chunk_size',
    `chunk_size: ${chunkSizeOps} in each of ${chunks} chunks are more than ${OPERATIONS_PER_SUBMISSION_MAX} operations`,
  );
}

/** Of an insert or an action. @throws ProtocolError */
export function idempotencyKeyOf(head: RequestHead): string | undefined {
  const key = head.header('idempotency-key');
  if (key === undefined || IDEMPOTENCY_KEY.test(key)) return key;
  throw new ProtocolError(
    'Idempotency-Key',
    'header Idempotency-Key: 1 to 200 of 0-9 A-Z a-z . _ - were expected',
  );
}
