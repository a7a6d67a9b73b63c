import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ContractViolationError,
  QueueUnreachableError,
  SubmissionFailedError,
  SubmissionNotCancellableError,
  SubmissionNotFoundError,
} from '../../src/producer/index.ts';
import { cborChunkCodec, jsonChunkCodec } from '../../src/protocol/chunk/codec.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';

const record = submissionRecord({ id: 5n, prefix: 'p', chunksTotal: 3 });
const failedChunk = { chunkIndex: 2, inputContent: null, failure: 'Error: no' };
const failed = { state: 'failed', record, endedAtMs: 0, chunksDone: 1, failedChunk } as const;

test('an error says what was wrong', () => {
  const issues = [{ path: '', message: 'too short' }];
  for (const [error, message] of [
    [
      new SubmissionNotFoundError('5'),
      'the queue does not know submission 5: never inserted here, inserted into another queue of the server, or forgotten (--max-submission-age)',
    ],
    [new SubmissionNotCancellableError(failed), 'submission 5 cannot be cancelled: already failed'],
    [
      new QueueUnreachableError('http://q:1', 2, 70, { cause: new Error('connect ECONNREFUSED') }),
      'no answer from the queue at http://q:1 (2 attempts in 70 ms): connect ECONNREFUSED',
    ],
    [
      new ContractViolationError('operation', 4, issues),
      'operation 4 does not match the contract: too short',
    ],
    [
      new ContractViolationError('result', 4, issues),
      'the result of operation 4 does not match the contract: too short',
    ],
    [
      new ContractViolationError('operation', null, issues),
      'the operation does not match the contract: too short',
    ],
  ] as const)
    assert.equal(error.message, message);
});

test('an error in JSON has its message, besides its name, code and fields', () => {
  assert.deepEqual(JSON.parse(JSON.stringify(new SubmissionFailedError(failed))), {
    name: 'SubmissionFailedError',
    code: 'SUBMISSION_FAILED',
    message: 'submission 5 failed: its chunk 2 failed for good:\nError: no',
    submissionId: '5',
    chunkIndex: 2,
  });
});

test('an error is not a value for a chunk, although it has a JSON form', () => {
  for (const codec of [cborChunkCodec(), jsonChunkCodec()]) {
    assert.throws(
      () => codec.encode([new SubmissionNotFoundError('5')]),
      /an error \(.*SubmissionNotFoundError\)/,
    );
  }
});
