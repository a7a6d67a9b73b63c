import type { SubmissionFacts, SubmissionStatus } from '../../../src/model/submission.ts';
import { decodeServerMessage } from '../../../src/protocol/consumer/codec.ts';
import { parseStatus } from '../../../src/protocol/producer/requests.ts';
import type { GoldenMessage, GoldenSession } from '../protocol/golden.ts';

/** What the recordings tell of a submission that was inserted outside of them. */
export interface Fact {
  readonly record: SubmissionFacts;
  /** The state at its first mention. */
  readonly status: SubmissionStatus;
  /** Inputs of a `Direct` submission, as far as they were seen. */
  readonly inputs: Map<number, Uint8Array | null>;
}

/** Ids of the recordings: snowflakes of one day. */
export const RECORDED_ID = /\b75307[0-9]{14}\b/g;

/** Every submission that a status or a reservation of these sessions describes, by its recorded id. */
export function factsOf(sessions: readonly GoldenSession[]): Map<bigint, Fact> {
  const facts = new Map<bigint, Fact>();
  for (const session of sessions) {
    for (const message of session.messages) {
      for (const fact of factsIn(message)) {
        const known = facts.get(fact.record.id);
        if (known === undefined) facts.set(fact.record.id, fact);
        else for (const [index, input] of fact.inputs) known.inputs.set(index, input);
      }
    }
  }
  return facts;
}

function factsIn(message: GoldenMessage): readonly Fact[] {
  if (message.direction !== 'server to client') return [];
  if (message.kind === 'response' && message.body?.startsWith('{"') && !message.body.startsWith('{"error"')) {
    const status = parseStatus(message.body);
    if (status === null) return [];
    // Where it does not say, the producer did not.
    const record = { ...status.record, chunkSizeOps: status.record.chunkSizeOps ?? 1 };
    return [{ record, status, inputs: inputsOf(status) }];
  }
  if (message.kind !== 'frame' || message.opcode !== 'binary') return [];
  const decoded = decodeServerMessage(Buffer.from(message.payload_hex, 'hex'));
  if (decoded.kind !== 'reserved') return [];
  return decoded.chunks.map(({ submission, chunk, inputContent }) => ({
    record: submission,
    status: { state: 'in_progress', record: submission, chunksDone: 0, chunksFailed: 0 },
    inputs: new Map([[chunk.chunkIndex, inputContent]]),
  }));
}

function inputsOf(status: SubmissionStatus): Map<number, Uint8Array | null> {
  if (status.state !== 'failed') return new Map();
  return new Map([[status.failedChunk.chunkIndex, status.failedChunk.inputContent]]);
}

/** The recorded ids that a message mentions, in text or in CBOR. */
export function mentionedIds(message: GoldenMessage): readonly bigint[] {
  if (message.kind === 'tcp' || message.kind === 'raw') return [];
  const text =
    message.kind === 'frame'
      ? JSON.stringify(message.cbor ?? null)
      : `${message.request_line ?? ''} ${message.body ?? ''}`;
  return [...text.matchAll(RECORDED_ID)].map(([id]) => BigInt(id));
}

/** Ids that a session inserts itself: the whole answer to an insert. */
export function insertedIds(session: GoldenSession): ReadonlySet<bigint> {
  const ids = new Set<bigint>();
  const inserts = new Map<number, boolean[]>();
  for (const message of session.messages) {
    if (message.kind === 'request') {
      const isInsert = message.request_line?.startsWith('POST /producer/submissions HTTP') === true;
      inserts.set(message.conn, [...(inserts.get(message.conn) ?? []), isInsert]);
    } else if (message.kind === 'response') {
      const isInsert = inserts.get(message.conn)?.shift() === true;
      if (isInsert && /^[0-9]+$/.test(message.body ?? '')) ids.add(BigInt(message.body ?? ''));
    }
  }
  return ids;
}
