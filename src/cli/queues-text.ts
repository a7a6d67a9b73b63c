import { listedQueue } from '../model/queue-name.ts';
import type { QueueInfo } from '../producer/index.ts';
import { pauseText } from './status-text.ts';
import { grouped, oneLine } from './text.ts';

/** Other queues that a note names. */
const NAMES_SHOWN = 5;

const COLUMNS = {
  queue: ({ name }) => listedQueue(name),
  submissions: ({ submissionsOpen }) => grouped(submissionsOpen),
  waiting: ({ chunksWaiting }) => grouped(chunksWaiting),
  'in flight': ({ chunksReserved }) => grouped(chunksReserved),
  delayed: ({ chunksDelayed }) => grouped(chunksDelayed),
  paused: ({ chunksPaused }) => grouped(chunksPaused),
  consumers: ({ consumers }) => grouped(consumers),
} as const satisfies Readonly<Record<string, (queue: QueueInfo) => string>>;

/** A table for people, with what needs attention behind it. */
export function queuesText(queues: readonly QueueInfo[]): string {
  const names = Object.keys(COLUMNS).map((name) => name.toUpperCase());
  const rows = queues.map((queue) => Object.values(COLUMNS).map((text) => text(queue)));
  const widths = names.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]!.length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  ');
  const lines = rows.map((row, at) => {
    const { pauses } = queues[at]!;
    const notes = pauses.map(
      (pause) => `paused${pause.of === 'server' ? ' with the server' : ''}: ${oneLine(pauseText(pause))}`,
    );
    if (isUnattended(queues[at]!)) notes.unshift('no consumers');
    return [line(row), ...(notes.length === 0 ? [] : [notes.join('; ')])].join('  ');
  });
  return [line(names), ...lines].map((each) => `${each}\n`).join('');
}

/** That nobody works on that queue, and on which somebody does; null if it has consumers. */
export function unattendedText(queues: readonly QueueInfo[], name: string): string | null {
  const queue = queues.find((each) => each.name === name);
  if (queue === undefined || queue.consumers > 0) return null;
  const attended = queues.filter(({ consumers }) => consumers > 0).map((each) => listedQueue(each.name));
  const others = attended.slice(0, NAMES_SHOWN).join(', ') + (attended.length > NAMES_SHOWN ? ', ...' : '');
  const what = name === '' ? 'no consumer is connected' : `no consumer is connected to queue ${name}`;
  return attended.length === 0 ? what : `${what} (but to ${others})`;
}

function isUnattended({ consumers, chunksWaiting }: QueueInfo): boolean {
  return consumers === 0 && chunksWaiting > 0;
}
