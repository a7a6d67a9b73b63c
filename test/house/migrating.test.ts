import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ConsumerClient, ProducerClient, Strategy } from '../../src/index.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const guide = readFileSync(`${root}/docs/migrating.md`, 'utf8');

/** Every public name of the original's Python package, version 0.40.1. */
const PYTHON = {
  producer: `ProducerClient server_version run_submission async_run_submission insert_submission
    blocking_stream_completed_submission try_stream_completed_submission run_submission_chunks
    async_run_submission_chunks insert_submission_chunks blocking_stream_completed_submission_chunks
    async_stream_completed_submission_chunks try_stream_completed_submission_chunks count_submissions
    cancel_submission get_submission_status lookup_submission_id_by_prefix
    lookup_submission_ids_by_strategic_metadata is_completed SubmissionId SubmissionStatus SubmissionCompleted
    SubmissionFailed SubmissionNotCancellable ChunkFailed chunk_size metadata strategic_metadata
    serialization_format json_as_bytes object_store_options`,
  consumer: `ConsumerClient run_each_op run_each_chunk run_each_chunk_raw reserve_chunks complete_chunk fail_chunk
    Strategy Oldest Newest Random PreferDistinct Chunk`,
  exceptions: `SubmissionFailedError SubmissionNotCancellableError IncorrectUsageError TryFromIntError
    ChunkNotFoundError SubmissionNotFoundError ChunkCountIsZeroError ChunkSizeIsZeroError NewObjectStoreClientError
    SubmissionNotCompletedYetError TooManyMatchingSubmissionsError OpsqueueInternalError
    UnexpectedOpsqueueConsumerServerResponseError ChunkRetrievalError ChunksStorageError ChunkStorageError
    InternalConsumerClientError InternalProducerClientError`,
};

test('docs/migrating.md says what every name of the Python clients is here', () => {
  const names = Object.values(PYTHON).flatMap((list) => list.split(/\s+/));
  assert.ok(names.length > 60);
  assert.deepEqual(
    names.filter((name) => !new RegExp(`\`${name}(?:\`|\\()`).test(guide)),
    [],
  );
});

test('docs/migrating.md names calls that exist', () => {
  const section = guide.slice(guide.indexOf('## From Python'), guide.indexOf('## What behaves'));
  const called = [...section.matchAll(/(?<![\w`]\.)\b([a-z]\w*)\(/g)].map(([, name = '']) => name);
  const python = /^[a-z]+(?:_[a-z]+)+$/;
  const producer = new ProducerClient('localhost:1', null);
  const owners = [
    ProducerClient.prototype,
    ConsumerClient.prototype,
    Object.getPrototypeOf(producer.submission(1n)),
    Strategy,
  ];
  const ours = called.filter((name) => !python.test(name));
  assert.ok(ours.length > 15);
  assert.deepEqual(
    ours.filter((name) => !owners.some((owner) => name in owner)),
    [],
  );
});
