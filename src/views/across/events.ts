import { ProtocolError } from '../../model/errors.ts';
import type { EventRow, EventsAnswer } from '../../protocol/api/events.ts';

type Content = Omit<EventsAnswer, 'as_of' | 'age_ms'>;

/** Up to which number a reader has seen the events of each node, by the node's tag. */
export type EventPlaces = ReadonlyMap<string, number>;

const TAG_DIGITS = 12;
const PLACES = /^[0-9a-f]{12}\.[0-9]{1,16}(?:,[0-9a-f]{12}\.[0-9]{1,16})*$/;
const NUMBER = /^[0-9]{1,16}$/;

/** A node's name in places, out of its id: the end of it is random. */
export function eventTag(node: string): string {
  return node.slice(-TAG_DIGITS);
}

/** @param own stands for a number alone, which is of the node that is asked */
export function parseEventPlaces(after: string | null, own: string): EventPlaces {
  if (after === null) return new Map();
  if (NUMBER.test(after)) return new Map([[own, Number(after)]]);
  if (!PLACES.test(after)) {
    const got = JSON.stringify(after.slice(0, 60));
    throw new ProtocolError('after', `after: next of an earlier answer was expected, got ${got}`);
  }
  const places = after.split(',').map((place) => place.split('.') as [string, string]);
  return new Map(places.map(([tag, seq]) => [tag, Number(seq)]));
}

export function formatEventPlaces(places: EventPlaces): string {
  return Array.from(places, ([tag, seq]) => `${tag}.${seq}`).join(',');
}

/** What one node says. */
export interface EventsPart {
  readonly tag: string;
  readonly answer: Content;
}

/**
 * Events of all nodes by their time, those of each in its own order; at most `limit`.
 *
 * @param others where the reader stands on nodes that have not answered
 */
export function mergeEvents(parts: readonly EventsPart[], limit: number, others: EventPlaces): Content {
  const heads = parts.map(({ tag, answer }) => ({ tag, answer, taken: 0 }));
  const items: EventRow[] = [];
  while (items.length < limit) {
    let next: { readonly head: (typeof heads)[number]; readonly row: EventRow } | null = null;
    for (const head of heads) {
      const row = head.answer.items[head.taken];
      if (row !== undefined && (next === null || row.at < next.row.at)) next = { head, row };
    }
    if (next === null) break;
    next.head.taken++;
    items.push(next.row);
  }
  const places = new Map(others);
  let missed = 0;
  for (const { tag, answer, taken } of heads) {
    const left = answer.items[taken];
    places.set(tag, left === undefined ? Number(answer.next) : left.seq - 1);
    missed += answer.missed;
  }
  return { matched: null, next: formatEventPlaces(places), missed, items };
}
