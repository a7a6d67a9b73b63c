import { SUBMISSION_SORTS } from '../../protocol/api/submissions.ts';
import type { TopState } from './screen.ts';

const ESC = '\x1b';
const PAGE_ROWS = 10;
/** An escape sequence of a key, or a character. */
const KEY = new RegExp(`${ESC}(?:\\[[0-9;]*[A-Za-z~]|O[A-Za-z])|[^]`, 'gu');
const STEPS: Readonly<Record<string, number>> = {
  j: 1,
  k: -1,
  [`${ESC}[B`]: 1,
  [`${ESC}[A`]: -1,
  [`${ESC}OB`]: 1,
  [`${ESC}OA`]: -1,
  [`${ESC}[6~`]: PAGE_ROWS,
  [`${ESC}[5~`]: -PAGE_ROWS,
  g: Number.NEGATIVE_INFINITY,
  G: Number.POSITIVE_INFINITY,
};

/** Keys as a terminal sends them, several at a time if they are pressed quickly. */
export function keysOf(text: string): string[] {
  return text.match(KEY) ?? [];
}

/** What a key makes of the state: the same one if it means nothing. */
export function pressed(top: TopState, key: string): TopState {
  const step = STEPS[key];
  if (step !== undefined) return { ...top, selected: rowWithin(top.selected + step, top.items.length) };
  if (key === 'p') return { ...top, isFrozen: !top.isFrozen };
  if (key !== 's') return top;
  const next = (SUBMISSION_SORTS.indexOf(top.sort) + 1) % SUBMISSION_SORTS.length;
  return { ...top, sort: SUBMISSION_SORTS[next]!, selected: 0, isFrozen: false };
}

/** A row that there is. */
export function rowWithin(row: number, count: number): number {
  return Math.max(0, Math.min(row, count - 1));
}
