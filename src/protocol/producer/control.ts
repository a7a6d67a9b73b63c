import {
  type Act,
  NO_CONTROL,
  type PausedBy,
  type StatusControl,
  VERBS,
  type Verb,
} from '../../model/control.ts';
import { JsonShapeError } from '../json/errors.ts';
import type { JsonReader } from '../json/reader.ts';
import { formatTimestamp, parseTimestamp } from '../json/timestamp.ts';

/** The field `control` of a status: pairs that were set are in `strategic_metadata` already. */
export function formatStatusControl(control: StatusControl): string {
  return JSON.stringify({
    pauses: control.pauses.map(pauseOf),
    queue_pauses: control.queuePauses.map(pauseOf),
    deadline: timeOrNull(control.deadlineMs),
    start_after: timeOrNull(control.startAfterMs),
    history: control.history.map(({ atMs, ...act }) => ({ ...act, at: formatTimestamp(atMs) })),
  });
}

export function readStatusControl(reader: JsonReader, field: string): StatusControl {
  const control: { -readonly [Name in keyof StatusControl]: StatusControl[Name] } = {
    ...NO_CONTROL,
    queuePauses: [],
  };
  reader.object(field, (key) => {
    const path = `${field}.${key}`;
    if (key === 'pauses') control.pauses = readPauses(reader, path);
    else if (key === 'queue_pauses') control.queuePauses = readPauses(reader, path);
    else if (key === 'deadline') control.deadlineMs = readTimeOrNull(reader, path);
    else if (key === 'start_after') control.startAfterMs = readTimeOrNull(reader, path);
    else if (key === 'history') control.history = readHistory(reader, path);
    else reader.skip(path);
  });
  return control;
}

/** An RFC 3339 time as Unix milliseconds, or null. */
export function readTimeOrNull(reader: JsonReader, field: string): number | null {
  return reader.tryNull(field) ? null : parseTimestamp(reader.text(field), field);
}

export function timeOrNull(unixMs: number | null): string | null {
  return unixMs === null ? null : formatTimestamp(unixMs);
}

export function pauseOf({ sinceMs, ...pause }: PausedBy) {
  return { ...pause, since: formatTimestamp(sinceMs) };
}

export function readPauses(reader: JsonReader, field: string): PausedBy[] {
  const pauses: PausedBy[] = [];
  reader.array(field, (index) => {
    const path = `${field}[${index}]`;
    pauses.push(pauseIn(readTexts(reader, path), path));
  });
  return pauses;
}

/** @throws JsonShapeError */
export function pauseIn({ cause, by, reason, since }: Texts, field: string): PausedBy {
  return {
    cause: cause ?? '',
    by: by ?? '',
    reason: reason ?? null,
    sinceMs: parseTimestamp(since ?? '', `${field}.since`),
  };
}

function readHistory(reader: JsonReader, field: string): Act[] {
  const acts: Act[] = [];
  reader.array(field, (index) => {
    const path = `${field}[${index}]`;
    const { verb, detail, by, reason, at } = readTexts(reader, path);
    acts.push({
      verb: verbOf(verb, `${path}.verb`),
      detail: detail ?? '',
      by: by ?? '',
      reason: reason ?? null,
      atMs: parseTimestamp(at ?? '', `${path}.at`),
    });
  });
  return acts;
}

function verbOf(text: string | null | undefined, field: string): Verb {
  const verb = VERBS.find((each) => each === text);
  if (verb === undefined) throw new JsonShapeError(field, `${JSON.stringify(text ?? null)} is not a verb`);
  return verb;
}

type Texts = Readonly<Record<string, string | null>>;

/** An object of which only the texts matter. */
export function readTexts(reader: JsonReader, field: string): Texts {
  const texts: Record<string, string | null> = Object.create(null);
  reader.object(field, (key) => {
    const path = `${field}.${key}`;
    texts[key] = reader.tryNull(path) ? null : reader.text(path);
  });
  return texts;
}
