import assert from 'node:assert/strict';
import type { StatusRecord, SubmissionStatus } from '../../../src/model/submission.ts';
import { VERSION } from '../../../src/model/version.ts';
import { decodeServerMessage, encodeServerMessage } from '../../../src/protocol/consumer/codec.ts';
import type { ServerMessage } from '../../../src/protocol/consumer/types.ts';
import { formatStatus, parseStatus } from '../../../src/protocol/producer/requests.ts';
import type { RawAnswer } from '../peers/http-socket.ts';
import type { GoldenHttpMessage } from '../protocol/golden.ts';
import { RECORDED_ID } from './facts.ts';

/** What varies from run to run: recorded ids and what they are here, and the trace context of each submission. */
export interface Variables {
  readonly ids: Map<bigint, bigint>;
  /** By recorded id; `{}` for those that are not in it. */
  readonly traces: Map<bigint, string>;
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const HTTP_DATE = /^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$/;

/** Recorded text with the ids of this run. */
export function withIds(text: string, variables: Variables): string {
  return text.replaceAll(RECORDED_ID, (id) => String(variables.ids.get(BigInt(id)) ?? id));
}

/** The same for CBOR, where a recorded id takes 8 bytes, as one of this run does. */
export function hexWithIds(hex: string, variables: Variables): string {
  let replaced = hex;
  for (const [recorded, here] of variables.ids) {
    replaced = replaced.replaceAll(
      recorded.toString(16).padStart(16, '0'),
      here.toString(16).padStart(16, '0'),
    );
  }
  return replaced;
}

/** What a recording says, unless it is told otherwise. */
export interface AnswerChanges {
  readonly statusLine?: string;
  readonly body?: string;
  /** Words of ours. */
  readonly anyBody?: boolean;
  readonly headers?: readonly string[];
}

/** Status line, headers with their order and case, and body. */
export function assertSameAnswer(
  actual: RawAnswer,
  recorded: GoldenHttpMessage,
  variables: Variables,
  changes: AnswerChanges = {},
): void {
  const body = actual.body.toString();
  assert.equal(actual.statusLine, changes.statusLine ?? recorded.status_line, body);
  const names = changes.headers ?? recorded.headers.map(([name]) => name);
  assert.deepEqual(
    actual.headers.map(([name]) => name),
    names,
    body,
  );
  for (const [name, value] of actual.headers) assertSameHeader(name, value, recorded, changes, body);
  if (changes.anyBody === true) {
    assert.notEqual(body, '');
    return;
  }
  if (recorded.body_elided !== undefined) return;
  assertSameBody(
    body,
    changes.body ?? recorded.body ?? '',
    actual.status,
    variables,
    changes.body !== undefined,
  );
}

function assertSameHeader(
  name: string,
  value: string,
  recorded: GoldenHttpMessage,
  changes: AnswerChanges,
  body: string,
): void {
  const recordedValue = recorded.headers.find(([other]) => other === name)?.[1];
  if (name === 'date') assert.match(value, HTTP_DATE);
  else if (name === 'content-length') {
    // An answer to HEAD has a length and no body.
    if (body !== '') assert.equal(Number(value), Buffer.byteLength(body));
  } else if (changes.headers === undefined) assert.equal(value, recordedValue, name);
}

function assertSameBody(
  actual: string,
  recorded: string,
  status: number,
  variables: Variables,
  isChanged: boolean,
): void {
  if (isStatus(recorded)) {
    const parsed = parseStatus(actual);
    // The fields and their order are those of our own codec, which the recorded bodies are tested on.
    assert.equal(actual, text(formatStatus(parsed)));
    const expected = translatedStatus(parseStatus(recorded), variables);
    assert.equal(
      text(formatStatus(comparableStatus(parsed))),
      text(formatStatus(comparableStatus(expected))),
    );
  } else if (!isChanged && status >= 400 && !/^[0-9[{"]/.test(recorded)) {
    // Wording of errors is ours; that there are words is not.
    assert.equal(actual === '', recorded === '', actual);
  } else {
    assert.equal(actual, withIds(recorded, variables).replace(/^v0\.40\.1$/, `v${VERSION}`));
  }
}

function isStatus(body: string): boolean {
  return /^\{"(InProgress|Completed|Failed|Cancelled)":/.test(body);
}

function translatedStatus(status: SubmissionStatus | null, variables: Variables): SubmissionStatus | null {
  return status === null ? null : { ...status, record: translatedRecord(status.record, variables) };
}

function translatedRecord<R extends StatusRecord>(record: R, variables: Variables): R {
  return {
    ...record,
    id: variables.ids.get(record.id) ?? record.id,
    otelTraceCarrier: variables.traces.get(record.id) ?? '{}',
  };
}

function comparableStatus(status: SubmissionStatus | null): SubmissionStatus | null {
  if (status === null) return null;
  const record = comparableRecord(status.record);
  return status.state === 'in_progress' ? { ...status, record } : { ...status, record, endedAtMs: 0 };
}

/** The order of metadata is neither sorted nor as inserted in the reference. */
function comparableRecord<R extends StatusRecord>(record: R): R {
  const pairs = [...record.strategicMetadata].sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...record, strategicMetadata: new Map(pairs) };
}

/** A frame with a message of the server. */
export function assertSameMessage(actual: Uint8Array, recordedHex: string, variables: Variables): void {
  const decoded = decodeServerMessage(actual);
  // The bytes are those of our own codec, which the recorded ones are tested on.
  assert.equal(hexOf(actual), hexOf(encodeServerMessage(decoded)));
  if (decoded.kind === 'init') {
    assert.match(decoded.connId, UUID_V7);
    assert.equal(decoded.versionInfo, `v${VERSION}`);
  }
  const recorded = decodeServerMessage(Buffer.from(recordedHex, 'hex'));
  const expected = translatedMessage(recorded, variables);
  assert.deepEqual(comparableMessage(decoded), comparableMessage(expected));
  assert.equal(
    hexOf(encodeServerMessage(comparableMessage(decoded))),
    hexOf(encodeServerMessage(comparableMessage(expected))),
  );
}

function translatedMessage(message: ServerMessage, variables: Variables): ServerMessage {
  const idHere = (id: bigint) => variables.ids.get(id) ?? id;
  switch (message.kind) {
    case 'reserved':
      return {
        ...message,
        chunks: message.chunks.map((item) => ({
          ...item,
          chunk: { ...item.chunk, submissionId: idHere(item.chunk.submissionId) },
          submission: translatedRecord(item.submission, variables),
        })),
      };
    case 'expired':
    case 'dropped':
      return { ...message, chunk: { ...message.chunk, submissionId: idHere(message.chunk.submissionId) } };
    default:
      return message;
  }
}

function comparableMessage(message: ServerMessage): ServerMessage {
  if (message.kind === 'init') return { ...message, connId: '', versionInfo: '' };
  if (message.kind !== 'reserved') return message;
  const chunks = message.chunks.map((item) => ({ ...item, submission: comparableRecord(item.submission) }));
  return { ...message, chunks };
}

function text(body: Uint8Array): string {
  return Buffer.from(body).toString('utf8');
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
