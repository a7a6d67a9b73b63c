import type { QueueInfo, QueuePause, QueuesInUse } from '../../model/queue-info.ts';
import type { Missing } from '../api/lists.ts';
import { JsonShapeError } from '../json/errors.ts';
import { JsonReader } from '../json/reader.ts';
import { JsonWriter } from '../json/writer.ts';
import { pauseIn, pauseOf, readTexts } from './control.ts';

/** Of an item, besides its name. */
const COUNTS = {
  submissions_open: 'submissionsOpen',
  chunks_waiting: 'chunksWaiting',
  chunks_reserved: 'chunksReserved',
  chunks_delayed: 'chunksDelayed',
  chunks_paused: 'chunksPaused',
  consumers: 'consumers',
} as const satisfies Readonly<Record<string, Exclude<keyof QueueInfo, 'name' | 'pauses'>>>;
const COUNT_NAMES = Object.keys(COUNTS) as (keyof typeof COUNTS)[];

/** Ours: the queues that are in use, all of them, in the envelope of every list of `/api/v1`. */
export function formatQueues(
  queues: readonly QueueInfo[],
  asOfMs: number,
  missing: Missing = {},
): Uint8Array {
  const writer = new JsonWriter().raw('{"as_of":').text(new Date(asOfMs).toISOString());
  writer.raw(',"age_ms":0,"matched":').integer(queues.length).raw(',"next":null,"items":[');
  writer.list(queues, (queue) => {
    writer.raw('{"name":').text(queue.name);
    for (const name of COUNT_NAMES) writer.raw(`,"${name}":`).integer(queue[COUNTS[name]]);
    writer.raw(`,"pauses":${JSON.stringify(queue.pauses.map(queuePauseOf))}}`);
  });
  writer.raw(']');
  for (const [name, value] of Object.entries(missing)) writer.raw(`,"${name}":${JSON.stringify(value)}`);
  return writer.raw('}').finish();
}

function queuePauseOf({ of, ...pause }: QueuePause) {
  return { of, ...pauseOf(pause) };
}

export function parseQueues(body: Uint8Array | string): QueuesInUse {
  const reader = new JsonReader(body);
  const queues: QueueInfo[] = [];
  const nodesMissing: string[] = [];
  let shardsMissing = 0;
  const seen = reader.struct('', ['items', 'nodes_missing', 'shards_missing'], (name, path) => {
    if (name === 'items') reader.array(path, (index) => queues.push(readQueue(reader, `${path}[${index}]`)));
    else if (name === 'shards_missing') shardsMissing = reader.uint(path);
    else reader.array(path, (index) => nodesMissing.push(reader.text(`${path}[${index}]`)));
  });
  reader.end();
  if (!seen.has('items')) throw new JsonShapeError('items', 'it is missing');
  return { queues, nodesMissing, shardsMissing };
}

function readQueue(reader: JsonReader, path: string): QueueInfo {
  const queue = {
    name: '',
    submissionsOpen: 0,
    chunksWaiting: 0,
    chunksReserved: 0,
    chunksDelayed: 0,
    chunksPaused: 0,
    pauses: [] as readonly QueuePause[],
    consumers: 0,
  };
  const fields = ['name', ...COUNT_NAMES, 'pauses'] as const;
  const seen = reader.struct(path, fields, (name, field) => {
    if (name === 'name') queue.name = reader.text(field);
    else if (name === 'pauses') queue.pauses = readQueuePauses(reader, field);
    else queue[COUNTS[name]] = reader.uint(field);
  });
  for (const name of fields)
    if (!seen.has(name)) throw new JsonShapeError(`${path}.${name}`, 'it is missing');
  return queue;
}

function readQueuePauses(reader: JsonReader, field: string): QueuePause[] {
  const pauses: QueuePause[] = [];
  reader.array(field, (index) => {
    const path = `${field}[${index}]`;
    const texts = readTexts(reader, path);
    const { of } = texts;
    if (of !== 'queue' && of !== 'server')
      throw new JsonShapeError(
        `${path}.of`,
        `queue or server was expected, got ${JSON.stringify(of ?? null)}`,
      );
    pauses.push({ of, ...pauseIn(texts, path) });
  });
  return pauses;
}
