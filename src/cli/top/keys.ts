import { SUBMISSION_SORTS } from '../../protocol/api/submissions.ts';
import type { ChangeVerb, TopState } from './state.ts';

const ESC = '\x1b';
export const CTRL_C = '\x03';
const CTRL_U = '\x15';
const PAGE_ROWS = 10;
const FILTER_CHARS_MAX = 200;
const CHANGES: Readonly<Record<string, ChangeVerb>> = { P: 'pause', R: 'resume', C: 'cancel', T: 'retry' };
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
  if (top.typed !== null) return typing(top, top.typed, key);
  if (top.asked !== null) {
    return { ...top, asked: null, confirmed: key === 'y' ? top.asked : null };
  }
  return ofList({ ...top, note: null }, key);
}

function typing(top: TopState, typed: string, key: string): TopState {
  if (key === ESC || key === CTRL_C) return { ...top, typed: null };
  if (key === '\r' || key === '\n')
    return { ...top, typed: null, filter: typed.trim(), selected: 0, openedId: null };
  if (key === '\x7f' || key === '\b') return { ...top, typed: [...typed].slice(0, -1).join('') };
  if (key === CTRL_U) return { ...top, typed: '' };
  const isText = [...key].length === 1 && !/\p{Cc}/u.test(key);
  return isText && typed.length < FILTER_CHARS_MAX ? { ...top, typed: typed + key } : top;
}

function ofList(top: TopState, key: string): TopState {
  const verb = CHANGES[key];
  const id = top.openedId ?? top.items[top.selected]?.id;
  if (verb !== undefined && id !== undefined) return { ...top, asked: { verb, id } };
  if (key === '?') return { ...top, hasHelp: !top.hasHelp };
  if (key === ESC && top.hasHelp) return { ...top, hasHelp: false };
  if (key === ESC && top.openedId !== null) return { ...top, openedId: null, opened: null };
  if (key === ESC && top.filter !== '') return { ...top, filter: '', selected: 0 };
  if (key === '/') return { ...top, typed: top.filter };
  if (key === '\r' && id !== undefined) return { ...top, openedId: id, opened: null, hasHelp: false };
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
