/** `POST /api/v1/actions/{verb}`: what a verb is to do. */
import {
  BY_CHARS_MAX,
  CAUSE_DEFAULT,
  CAUSE_PATTERN,
  REASON_CHARS_MAX,
  type Verb,
} from '../../model/control.ts';
import { SUBMISSION_ID_MAX, type SubmissionId } from '../../model/ids.ts';
import { META_VALUE_MAX, META_VALUE_MIN } from '../../model/limits.ts';
import { isQueueName, listedQueue, UNNAMED_QUEUE } from '../../model/queue-name.ts';
import {
  type Change,
  FILTER_STATES,
  FINGERPRINT_CHARS_MAX,
  type FilterState,
  VERB_IDS_MAX,
  type VerbRequest,
  type VerbTarget,
} from '../../model/verbs.ts';
import { metaKeyRefusal, metaPairsRefusal } from '../consumer/strategy.ts';
import { JsonShapeError } from '../json/errors.ts';
import { fieldPath, JsonReader } from '../json/reader.ts';
import { shown } from '../json/scan.ts';
import { readTimeOrNull, timeOrNull } from './control.ts';

/** Ids and values of metadata are texts: JSON of other languages has no 64-bit numbers. */
export function formatActionRequest({
  change,
  target,
  by,
  reason,
  isDryRun,
  expected,
}: VerbRequest): Uint8Array {
  const body = {
    ...targetJson(target),
    ...changeJson(change),
    by,
    ...(reason === null ? {} : { reason }),
    ...(isDryRun ? { dry_run: true } : {}),
    ...(expected === null ? {} : { expected }),
  };
  return Buffer.from(JSON.stringify(body));
}

function targetJson(target: VerbTarget) {
  switch (target.kind) {
    case 'submissions':
      return {
        ids: target.ids.map(String),
        ...(target.queue === null ? {} : { queue: listedQueue(target.queue) }),
      };
    case 'matching': {
      const { metadata, state, failure, queue } = target;
      const filter = {
        ...(metadata.size === 0 ? {} : { metadata: textPairs(metadata) }),
        ...(state === 'open' ? {} : { state }),
        ...(failure === undefined ? {} : { failure }),
        ...(queue === null ? {} : { queue: listedQueue(queue) }),
      };
      return { filter };
    }
    case 'queue':
      return { queue: listedQueue(target.queue) };
    case 'server':
      return { server: true };
  }
}

function changeJson(change: Change) {
  switch (change.verb) {
    case 'pause':
      return { cause: change.cause };
    case 'resume':
      return change.cause === null ? { every_cause: true } : { cause: change.cause };
    case 'cancel':
    case 'retry':
      return {};
    case 'set': {
      const { strategicMetadata, deadlineMs, startAfterMs } = change;
      return {
        ...(strategicMetadata === undefined ? {} : { strategic_metadata: textPairs(strategicMetadata) }),
        ...(deadlineMs === undefined ? {} : { deadline: timeOrNull(deadlineMs) }),
        ...(startAfterMs === undefined ? {} : { start_after: timeOrNull(startAfterMs) }),
      };
    }
  }
}

function textPairs(pairs: ReadonlyMap<string, bigint | null>): Readonly<Record<string, string | null>> {
  return Object.fromEntries(
    Array.from(pairs, ([key, value]) => [key, value === null ? null : String(value)]),
  );
}

const FIELDS = [
  'ids',
  'filter',
  'queue',
  'server',
  'cause',
  'every_cause',
  'strategic_metadata',
  'deadline',
  'start_after',
  'by',
  'reason',
  'dry_run',
  'expected',
] as const;
type Field = (typeof FIELDS)[number];

/** Fields of each verb beside those of all. */
const FIELDS_OF: Readonly<Record<Verb, readonly Field[]>> = {
  pause: ['cause'],
  resume: ['cause', 'every_cause'],
  set: ['strategic_metadata', 'deadline', 'start_after'],
  cancel: [],
  retry: [],
};
const TARGETS = ['ids', 'filter', 'queue', 'server'] as const;

interface ActionBody {
  ids: SubmissionId[];
  filter: Omit<Extract<VerbTarget, { kind: 'matching' }>, 'kind'>;
  queue: string;
  server: boolean;
  cause: string;
  every_cause: boolean;
  strategic_metadata: ReadonlyMap<string, bigint | null> | undefined;
  deadline: number | null | undefined;
  start_after: number | null | undefined;
  by: string;
  reason: string | null;
  dry_run: boolean;
  expected: number | null;
}

/**
 * Reads what a verb is to do.
 *
 * @param caller stands for one who does not say who he is
 * @param confinedTo the queue whose address was used; '' = the server's, which is for all queues
 * @throws JsonSyntaxError for malformed JSON (400), JsonShapeError for any other fault (422)
 */
export function parseActionRequest(
  verb: Verb,
  body: Uint8Array | string,
  caller: string,
  confinedTo: string,
): VerbRequest {
  const queue = confinedTo === '' ? null : confinedTo;
  const reader = new JsonReader(body);
  const read: ActionBody = {
    ids: [],
    filter: { metadata: new Map(), state: 'open', queue },
    queue: '',
    server: false,
    cause: CAUSE_DEFAULT,
    every_cause: false,
    strategic_metadata: undefined,
    deadline: undefined,
    start_after: undefined,
    by: caller,
    reason: null,
    dry_run: false,
    expected: null,
  };
  const seen = new Set<Field>();
  reader.object('', (key) => {
    const field = FIELDS.find((each) => each === key);
    // A misspelt filter must not become one that matches more.
    if (field === undefined) throw new JsonShapeError(key, 'there is no such field');
    readField(reader, field, read);
    seen.add(field);
  });
  reader.end();
  for (const field of seen) {
    const isOwn = FIELDS_OF[verb].includes(field);
    if (!isOwn && Object.values(FIELDS_OF).some((fields) => fields.includes(field))) {
      throw new JsonShapeError(field, `${verb} does not take it`);
    }
  }
  const change = changeOf(verb, read, seen);
  const target = confined(targetOf(read, seen, queue), queue);
  const { by, reason, dry_run: isDryRun, expected } = read;
  return { change, target, by, reason, isDryRun, expected };
}

function targetOf(read: ActionBody, seen: ReadonlySet<Field>, queue: string | null): VerbTarget {
  const named = TARGETS.filter((field) => {
    // With ids it is the queue that they have to be in.
    if (field === 'queue') return seen.has('queue') && !seen.has('ids');
    return seen.has(field) && (field !== 'server' || read.server);
  });
  const [target] = named;
  if (target === undefined || named.length > 1) {
    throw new JsonShapeError('', `exactly one of ${TARGETS.join(', ')} was expected, got ${named.length}`);
  }
  switch (target) {
    case 'ids':
      if (read.ids.length === 0) throw new JsonShapeError('ids', 'at least one was expected');
      return { kind: 'submissions', ids: read.ids, queue: seen.has('queue') ? read.queue : queue };
    case 'filter':
      return { kind: 'matching', ...read.filter };
    case 'queue':
      return { kind: 'queue', queue: read.queue };
    case 'server':
      return { kind: 'server' };
  }
}

/** Through the address of a queue nothing else is touched. */
function confined(target: VerbTarget, queue: string | null): VerbTarget {
  if (queue === null) return target;
  if (target.kind === 'server') throw new JsonShapeError('server', `this is the address of queue ${queue}`);
  if (target.queue === queue) return target;
  throw new JsonShapeError('queue', `this is the address of queue ${queue}`);
}

function changeOf(verb: Verb, read: ActionBody, seen: ReadonlySet<Field>): Change {
  switch (verb) {
    case 'pause':
      return { verb, cause: read.cause };
    case 'resume':
      if (read.every_cause && seen.has('cause')) throw new JsonShapeError('cause', 'not with every_cause');
      return { verb, cause: read.every_cause ? null : read.cause };
    case 'cancel':
    case 'retry':
      return { verb };
    case 'set':
      if (!FIELDS_OF.set.some((field) => seen.has(field))) {
        throw new JsonShapeError('', `at least one of ${FIELDS_OF.set.join(', ')} was expected`);
      }
      return {
        verb,
        strategicMetadata: read.strategic_metadata,
        deadlineMs: read.deadline,
        startAfterMs: read.start_after,
      };
  }
}

function readField(reader: JsonReader, field: Field, read: ActionBody): void {
  switch (field) {
    case 'ids':
      reader.array(field, (index) => {
        if (index >= VERB_IDS_MAX) throw new JsonShapeError(field, `more than ${VERB_IDS_MAX} ids`);
        read.ids.push(readId(reader, `${field}[${index}]`));
      });
      break;
    case 'filter':
      read.filter = readFilter(reader, field, read.filter.queue);
      break;
    case 'queue':
      read.queue = readQueue(reader, field);
      break;
    case 'cause':
      read.cause = readCause(reader, field);
      break;
    case 'server':
    case 'every_cause':
    case 'dry_run':
      read[field] = reader.boolean(field);
      break;
    case 'strategic_metadata':
      read.strategic_metadata = readPairs(reader, field, true);
      break;
    case 'deadline':
    case 'start_after':
      read[field] = readTimeOrNull(reader, field);
      break;
    case 'by':
      read.by = readBounded(reader, field, BY_CHARS_MAX);
      break;
    case 'reason':
      read.reason = reader.tryNull(field) ? null : readBounded(reader, field, REASON_CHARS_MAX);
      break;
    case 'expected':
      read.expected = reader.tryNull(field) ? null : reader.uint(field);
      break;
  }
}

function readFilter(reader: JsonReader, field: string, queue: string | null): ActionBody['filter'] {
  const metadata = new Map<string, bigint>();
  let state: FilterState = 'open';
  let failure: string | null = null;
  let inQueue = queue;
  reader.object(field, (key) => {
    const path = `${field}.${key}`;
    if (key === 'metadata') {
      for (const [name, value] of readPairs(reader, path, false)) metadata.set(name, value!);
    } else if (key === 'state') state = readState(reader, path);
    else if (key === 'failure') failure = readBounded(reader, path, FINGERPRINT_CHARS_MAX);
    else if (key === 'queue') inQueue = readQueue(reader, path);
    else throw new JsonShapeError(path, 'there is no such field');
  });
  return { metadata, state, queue: inQueue, ...(failure === null ? {} : { failure }) };
}

function readState(reader: JsonReader, field: string): FilterState {
  const text = reader.text(field);
  const state = FILTER_STATES.find((each) => each === text);
  if (state !== undefined) return state;
  throw new JsonShapeError(field, `one of ${FILTER_STATES.join(', ')} was expected, got ${shown(text)}`);
}

export function readQueue(reader: JsonReader, field: string): string {
  const text = reader.text(field);
  if (text === UNNAMED_QUEUE) return '';
  if (isQueueName(text)) return text;
  throw new JsonShapeError(
    field,
    `the name of a queue was expected, or ${UNNAMED_QUEUE} for the unnamed one, got ${shown(text)}`,
  );
}

function readCause(reader: JsonReader, field: string): string {
  const text = reader.text(field);
  if (CAUSE_PATTERN.test(text)) return text;
  throw new JsonShapeError(
    field,
    `a text that matches ${CAUSE_PATTERN.source} was expected, got ${shown(text)}`,
  );
}

function readBounded(reader: JsonReader, field: string, charsMax: number): string {
  const text = reader.text(field);
  if (text.length > 0 && text.length <= charsMax) return text;
  throw new JsonShapeError(field, `1 to ${charsMax} characters were expected, got ${text.length}`);
}

export function readId(reader: JsonReader, field: string): SubmissionId {
  const text = reader.text(field);
  const id = /^[0-9]{1,19}$/.test(text) ? BigInt(text) : -1n;
  if (id >= 0n && id <= SUBMISSION_ID_MAX) return id;
  throw new JsonShapeError(field, `${shown(text)} is not a submission id`);
}

/** Values are texts; null, where it is allowed, takes a pair away. */
function readPairs(reader: JsonReader, field: string, takesNull: boolean): Map<string, bigint | null> {
  const pairs = new Map<string, bigint | null>();
  reader.object(field, (key) => {
    const path = fieldPath(field, key);
    pairs.set(key, takesNull && reader.tryNull(path) ? null : readValue(reader, path));
    const refusal = metaPairsRefusal(pairs.size) ?? metaKeyRefusal(key);
    if (refusal !== null) throw new JsonShapeError(field, refusal);
  });
  return pairs;
}

function readValue(reader: JsonReader, field: string): bigint {
  if (reader.next(field) !== 'text') return reader.int64(field);
  const text = reader.text(field);
  const value = /^-?[0-9]{1,19}$/.test(text) ? BigInt(text) : META_VALUE_MAX + 1n;
  if (value >= META_VALUE_MIN && value <= META_VALUE_MAX) return value;
  throw new JsonShapeError(field, `${shown(text)} is not an integer of 64 bits`);
}
