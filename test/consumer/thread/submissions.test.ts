import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SubmissionReceiver, SubmissionSender } from '../../../src/consumer/thread/submissions.ts';
import type { SubmissionFacts } from '../../../src/model/submission.ts';
import { fakeSubmission } from '../../support/fakes/fake-queue.ts';

function ready(submissions: readonly SubmissionFacts[]) {
  const chunks = submissions.map((submission, chunkIndex) => {
    const chunk = { submissionId: submission.id, chunkIndex };
    return { handle: chunkIndex, chunk, submission, retries: 0, input: null, download: null };
  });
  return { kind: 'ready' as const, feed: 1, chunks };
}

/** Sends chunks of these submissions between two threads; how many records crossed. */
function crossing() {
  const [sender, receiver] = [new SubmissionSender(), new SubmissionReceiver()];
  return (submissions: readonly SubmissionFacts[]) => {
    const event = ready(submissions);
    const packed = structuredClone(sender.pack(event));
    assert.deepEqual(receiver.unpack(packed), event);
    return packed.kind === 'packed' ? packed.chunks.filter(({ record }) => record !== null).length : 0;
  };
}

test('the record of a submission crosses the threads once, however many chunks it has', () => {
  const cross = crossing();
  const [a, b] = [fakeSubmission({ id: 1n }), fakeSubmission({ id: 2n })];
  assert.equal(cross([a, a, b, a]), 2);
  assert.equal(cross([b, a]), 0);
});

test('more submissions than are remembered take turns, also within one event', () => {
  const cross = crossing();
  const many = Array.from({ length: 1_000 }, (_, index) => fakeSubmission({ id: BigInt(index) }));
  assert.equal(cross(many), 1_000);
  assert.equal(cross(many.slice(-200)), 0, 'the latest ones are remembered');
  assert.equal(cross(many.slice(0, 3)), 3);
});
