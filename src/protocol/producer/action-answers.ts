/** `POST /api/v1/actions/{verb}`: what came of it. */
import type { Verb } from '../../model/control.ts';
import type { SubmissionId } from '../../model/ids.ts';
import { listedQueue } from '../../model/queue-name.ts';
import { HOLDERS, type Hold, type Skipped, type VerbAnswer } from '../../model/verbs.ts';
import { JsonShapeError } from '../json/errors.ts';
import { JsonReader } from '../json/reader.ts';
import { shown } from '../json/scan.ts';
import { parseTimestamp } from '../json/timestamp.ts';
import { readId, readQueue } from './actions.ts';
import { pauseOf } from './control.ts';

export function formatActionAnswer(answer: VerbAnswer): Uint8Array {
  const { verb, isDryRun, matched, done, unchanged, stillPaused, holds, chunks, ids, skipped, nodesMissing } =
    answer;
  return Buffer.from(
    JSON.stringify({
      action: verb,
      dry_run: isDryRun,
      matched,
      done,
      unchanged,
      still_paused: stillPaused,
      paused_by: holds.map(holdOf),
      chunks,
      ids: ids.map(String),
      skipped: skipped.map(({ id, code, text }) => ({ id: String(id), code, text })),
      nodes_missing: nodesMissing,
    }),
  );
}

function holdOf({ of, queue, submissions, ...pause }: Hold) {
  return { of, ...(queue === null ? {} : { queue: listedQueue(queue) }), submissions, ...pauseOf(pause) };
}

/** Of a newer queue, with whatever more it says. */
export function parseActionAnswer(verb: Verb, body: Uint8Array | string): VerbAnswer {
  const reader = new JsonReader(body);
  const counts = { matched: 0, done: 0, unchanged: 0, still_paused: 0 };
  let isDryRun = false;
  let chunks: number | undefined;
  const ids: SubmissionId[] = [];
  const skipped: Skipped[] = [];
  const holds: Hold[] = [];
  let nodesMissing: string[] | undefined;
  reader.object('', (key) => {
    if (Object.hasOwn(counts, key)) counts[key as keyof typeof counts] = reader.uint(key);
    else if (key === 'dry_run') isDryRun = reader.boolean(key);
    else if (key === 'chunks') chunks = reader.uint(key);
    else if (key === 'ids') reader.array(key, (index) => ids.push(readId(reader, `${key}[${index}]`)));
    else if (key === 'paused_by') {
      reader.array(key, (index) => holds.push(readHold(reader, `${key}[${index}]`)));
    } else if (key === 'nodes_missing') {
      const missing: string[] = [];
      reader.array(key, (index) => missing.push(reader.text(`${key}[${index}]`)));
      nodesMissing = missing;
    } else if (key === 'skipped') {
      reader.array(key, (index) => skipped.push(readSkipped(reader, `${key}[${index}]`)));
    } else reader.skip(key);
  });
  reader.end();
  const { matched, done, unchanged, still_paused: stillPaused } = counts;
  const answer = { verb, isDryRun, matched, done, unchanged, stillPaused, holds, ids, skipped };
  return {
    ...answer,
    ...(chunks === undefined ? {} : { chunks }),
    ...(nodesMissing === undefined ? {} : { nodesMissing }),
  };
}

function readHold(reader: JsonReader, field: string): Hold {
  let of: Hold['of'] | undefined;
  let queue: string | null = null;
  let submissions = 0;
  let reason: string | null = null;
  const texts = { cause: '', by: '', since: '' };
  reader.object(field, (key) => {
    const path = `${field}.${key}`;
    if (key === 'of') of = readHolder(reader, path);
    else if (key === 'queue') queue = readQueue(reader, path);
    else if (key === 'submissions') submissions = reader.uint(path);
    else if (key === 'reason') reason = reader.tryNull(path) ? null : reader.text(path);
    else if (key === 'cause' || key === 'by' || key === 'since') texts[key] = reader.text(path);
    else reader.skip(path);
  });
  if (of === undefined) throw new JsonShapeError(`${field}.of`, 'it is missing');
  const { cause, by, since } = texts;
  const sinceMs = parseTimestamp(since, `${field}.since`);
  return { of, queue, submissions, cause, by, reason, sinceMs };
}

function readHolder(reader: JsonReader, field: string): Hold['of'] {
  const text = reader.text(field);
  const of = HOLDERS.find((each) => each === text);
  if (of !== undefined) return of;
  throw new JsonShapeError(field, `one of ${HOLDERS.join(', ')} was expected, got ${shown(text)}`);
}

function readSkipped(reader: JsonReader, field: string): Skipped {
  let id: SubmissionId | null = null;
  let code = '';
  let text = '';
  reader.object(field, (key) => {
    const path = `${field}.${key}`;
    if (key === 'id') id = readId(reader, path);
    else if (key === 'code') code = reader.text(path);
    else if (key === 'text') text = reader.text(path);
    else reader.skip(path);
  });
  if (id === null) throw new JsonShapeError(`${field}.id`, 'it is missing');
  return { id, code, text };
}

/** An error of the API: RFC 9457, with the stable code of the error. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  /** Of a submission that is not in the queue asked: in which one it is, where that is known; else null. */
  readonly queue: string | null;
}

export function formatProblem({ status, code, detail, queue }: Problem): Uint8Array {
  const where = queue === null ? {} : { queue: listedQueue(queue) };
  return Buffer.from(JSON.stringify({ status, code, detail, ...where }));
}

/** null for what is no problem of ours. */
export function parseProblem(status: number, body: Uint8Array | string): Problem | null {
  try {
    const texts = { code: '', detail: '' };
    let queue: string | null = null;
    const reader = new JsonReader(body);
    reader.object('', (key) => {
      if (key === 'code' || key === 'detail') texts[key] = reader.text(key);
      else if (key === 'queue') queue = readQueue(reader, key);
      else reader.skip(key);
    });
    return texts.code === '' ? null : { status, ...texts, queue };
  } catch {
    return null;
  }
}
