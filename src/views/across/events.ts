import { ProtocolError } from '../../model/errors.ts';
import type { EventRow, EventsAnswer } from '../../protocol/api/events.ts';
import type { OwnEvents } from '../answers/events.ts';

type Content = Omit<EventsAnswer, 'as_of' | 'age_ms'>;

/** Where a reader stands among the events of one server. */
export interface EventPlace {
  /** Up to which number the reader has seen them. */
  readonly seq: number;
  /** It was not there any more, and the reader has been told so. It may come back: a node without shards is not asked. */
  readonly isGone: boolean;
}

/** By the tag of the server; those that are gone come last, the latest at the end. */
export type EventPlaces = ReadonlyMap<string, EventPlace>;

/** So many servers that are gone are remembered. With one for each shard, places stay shorter than a parameter may be. */
export const GONE_MAX = 64;
const TAG_DIGITS = 12;
const GONE_MARK = '~';
const PLACES = /^[0-9a-f]{12}\.[0-9]{1,16}~?(?:,[0-9a-f]{12}\.[0-9]{1,16}~?)*$/;

/** A node's name in places, out of its id, which is another one with each start: the end of it is random. */
export function eventTag(node: string): string {
  return node.slice(-TAG_DIGITS);
}

/** That of the only server: when it was started. */
export function eventTagSince(sinceMs: number): string {
  return Math.round(sinceMs).toString(16).padStart(TAG_DIGITS, '0');
}

export function parseEventPlaces(after: string | null): EventPlaces {
  if (after === null) return new Map();
  if (!PLACES.test(after)) {
    const got = JSON.stringify(after.slice(0, 60));
    throw new ProtocolError('after', `after: next of an earlier answer was expected, got ${got}`);
  }
  return new Map(
    after.split(',').map((place) => {
      const [tag = '', seq = ''] = place.split('.');
      return [tag, { seq: Number.parseInt(seq, 10), isGone: seq.endsWith(GONE_MARK) }];
    }),
  );
}

export function formatEventPlaces(places: EventPlaces): string {
  return Array.from(places, ([tag, { seq, isGone }]) => `${tag}.${seq}${isGone ? GONE_MARK : ''}`).join(',');
}

/** What one server says. */
export interface EventsPart extends OwnEvents {
  readonly tag: string;
}

export interface EventsAsked {
  /** Where the reader stood. */
  readonly places: EventPlaces;
  readonly take: 'next' | 'latest';
  readonly limit: number;
}

/**
 * Events of all nodes by their time, those of each in its own order; at most `limit`.
 *
 * @param silent tags of nodes that have not answered: the reader stays there
 */
export function mergeEvents(
  parts: readonly EventsPart[],
  { places, take, limit }: EventsAsked,
  silent: readonly string[] = [],
): Content {
  const all = inOrder(parts);
  const told = take === 'latest' ? all.slice(Math.max(0, all.length - limit)) : all.slice(0, limit);
  const counts = new Map<EventsPart, number>();
  for (const { part } of told) counts.set(part, 1 + (counts.get(part) ?? 0));
  const next = new Map<string, EventPlace>();
  let missed = 0;
  for (const part of parts) {
    const { tag, items, seen } = part;
    const count = counts.get(part) ?? 0;
    const left = take === 'next' ? items[count] : undefined;
    next.set(tag, { seq: left === undefined ? seen : left.seq - 1, isGone: false });
    missed += part.missed;
    if (take === 'latest' && places.has(tag)) missed += items.length - count;
  }
  for (const tag of silent) if (places.has(tag)) next.set(tag, places.get(tag)!);
  const gone = [...places].filter(([tag]) => !next.has(tag));
  const isNew = gone.some(([, { isGone }]) => !isGone);
  // One that comes after so many are gone may be one of them that has been forgotten.
  const mayRepeat = isFull(places) && parts.some(({ tag }) => !places.has(tag));
  gone.sort(([, a], [, b]) => Number(b.isGone) - Number(a.isGone));
  for (const [tag, { seq }] of gone.slice(-GONE_MAX)) next.set(tag, { seq, isGone: true });
  return {
    matched: null,
    next: formatEventPlaces(next),
    missed: isNew || mayRepeat ? null : missed,
    items: told.map(({ row }) => row),
  };
}

function isFull(places: EventPlaces): boolean {
  return [...places.values()].filter(({ isGone }) => isGone).length >= GONE_MAX;
}

function inOrder(parts: readonly EventsPart[]): { readonly part: EventsPart; readonly row: EventRow }[] {
  const heads = parts.map((part) => ({ part, taken: 0 }));
  const all: { readonly part: EventsPart; readonly row: EventRow }[] = [];
  for (;;) {
    let next: { readonly head: (typeof heads)[number]; readonly row: EventRow } | null = null;
    for (const head of heads) {
      const row = head.part.items[head.taken];
      if (row !== undefined && (next === null || row.at < next.row.at)) next = { head, row };
    }
    if (next === null) return all;
    next.head.taken++;
    all.push({ part: next.head.part, row: next.row });
  }
}
