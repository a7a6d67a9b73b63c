import type { SubmissionRecord } from '../../model/submission.ts';

/** A record with these fields, the others plain. */
export function submissionRecord(
  fields: Partial<SubmissionRecord> & { readonly id: bigint },
): SubmissionRecord {
  return {
    queue: '',
    prefix: `prefix-${fields.id}`,
    chunksTotal: 10,
    chunkSizeOps: 1,
    metadata: null,
    strategicMetadata: new Map(),
    otelTraceCarrier: '{}',
    retryDelayMs: 0,
    retry: null,
    failureMode: 'fail',
    ...fields,
  };
}
