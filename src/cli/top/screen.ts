import type { Attention, Overview } from '../../protocol/api/overview.ts';
import type { SubmissionItem } from '../../protocol/api/submissions.ts';
import { missingText } from '../missing-text.ts';
import { SUBMISSION_COLUMNS } from '../submission-columns.ts';
import { bytesText, counted, grouped, oneLine, rateText, table, timeText } from '../text.ts';
import { linesOfOne } from './one.ts';
import type { ScreenLine, Size, TopState } from './state.ts';

const ATTENTION_SHARE = 0.3;
const FILTER_HINT = 'a state, key=number, how a prefix begins; Enter, or Esc';
const CHANGES = 'P pause  R resume  C cancel  T retry';
const HELP = [
  'j k, arrows     next and previous row; g G first and last; Page Up and Down ten rows',
  'Enter           open the submission; Esc goes back',
  '/               filter: a state (failing, paused, cancelled, ...), key=number, how a prefix begins',
  's               sort by the next column',
  'p               pause the figures, and go on',
  'P R C T         pause, resume, cancel, retry what failed: the submission of the row; asks first',
  'q, Ctrl-C       quit; Ctrl-Z suspends',
];
const KEYS = '? help  q quit  j k rows  Enter open  / filter  s sort  p pause';
const MARKS = { critical: '!!', warning: ' !', info: ' i' } as const;
/** So that columns keep their place while figures grow and shrink. */
const WIDTHS_MIN = { state: 16, done: 4, left: 12, rate: 8, waiting: 7, 'in flight': 9, chunks: 9 } as const;
const { id, queue, state, chunks, done, waiting, 'in flight': inFlight, rate } = SUBMISSION_COLUMNS;
const left = ({ left_ms: left }: SubmissionItem) => (left === null ? '' : timeText(left.p50));
const COLUMNS = {
  id,
  ...steady({ state, done, left, rate, waiting, 'in flight': inFlight, chunks }),
  queue,
  '': SUBMISSION_COLUMNS[''],
};

/** The screen, top to bottom: the queue, what needs attention, the submissions that fit, the keys. */
export function linesOf(top: TopState, size: Size, nowMs: number): ScreenLine[] {
  const head = [
    titleOf(top),
    ...troubleOf(top, nowMs),
    ...(top.overview === null ? [] : figuresOf(top.overview)),
  ];
  if (top.overview !== null) head.push(...attentionOf(top.overview.attention, size), plain(''));
  const foot = size.rows === null ? [] : [footOf(top)];
  const room = size.rows === null ? null : Math.max(0, size.rows - head.length - foot.length);
  const rows = top.overview === null ? [] : bodyOf(top, room);
  const space = room === null ? [] : Array.from({ length: Math.max(0, room - rows.length) }, () => plain(''));
  const lines = [...head, ...rows, ...space, ...foot];
  const shown = size.rows === null ? lines : lines.slice(0, size.rows);
  return shown.map(({ text, style }) => ({ text: cut(oneRow(text), size.columns), style }));
}

function plain(text: string): ScreenLine {
  return { text, style: 'plain' };
}

function titleOf({ url, overview, isFrozen, filter }: TopState): ScreenLine {
  const parts = [`opsqueue ${url}`];
  if (overview !== null) {
    if (overview.queue !== null) parts.push(`queue ${overview.queue}`);
    parts.push(overview.state.replaceAll('_', ' '), `${overview.as_of.slice(11, 19)} UTC`);
  }
  if (isFrozen) parts.push('figures paused');
  if (filter !== '') parts.push(`filter: ${oneLine(filter)}`);
  return { text: parts.join('  '), style: 'title' };
}

function troubleOf({ problem, heardAtMs, overview }: TopState, nowMs: number): ScreenLine[] {
  if (problem === null)
    return missingText(overview ?? {}).map((text) => ({ text: `!! ${text}`, style: 'critical' }));
  const heard = heardAtMs === null ? 'not heard yet' : `last heard ${timeText(nowMs - heardAtMs)} ago`;
  return [{ text: `!! ${heard}, trying again: ${problem}`, style: 'critical' }];
}

function figuresOf({ counts, rates, oldest_waiting: oldest, store, pauses }: Overview): ScreenLine[] {
  const speeds = [
    `${rateText(rates.last_10s.done)} chunks/s (${rateText(rates.last_60s.done)} over a minute)`,
    `${grouped(counts.chunks_reserved)} in flight`,
    `${grouped(counts.chunks_waiting)} waiting`,
    ...some(counts.chunks_delayed, 'wait for a retry'),
    ...some(counts.chunks_paused, 'paused'),
    ...some(counts.chunks_failed, 'failed'),
    ...((rates.last_60s.set_back ?? 0) > 0 ? [`${rateText(rates.last_60s.set_back)} tries/s set back`] : []),
  ];
  const backlog = [
    `${counted(counts.submissions_open, 'submission')} open`,
    ...some(counts.submissions_paused, 'paused'),
    `${counted(counts.chunks_backlog, 'chunk')} left`,
    `${counted(counts.operations_backlog, 'operation')}`,
    ...(oldest === null ? [] : [`the oldest waits for ${timeText(oldest.age_ms)} (${oldest.submission})`]),
  ];
  const consumers = [
    `${grouped(counts.consumers_working)} of ${counted(counts.consumers, 'consumer')} at work`,
    ...some(counts.consumers_waiting, 'wait for chunks'),
    ...some(counts.consumers_sick, 'slowed down'),
    ...(store.commit_ms === null ? [] : [`a commit takes ${timeText(store.commit_ms.p50)}`]),
    ...(store.disk_free_bytes === null ? [] : [`${bytesText(store.disk_free_bytes)} of disk free`]),
  ];
  return [
    ...[speeds, backlog, consumers].map((parts) => plain(parts.join(', '))),
    ...pauses.map(({ by, reason }) =>
      plain(oneLine(`paused by ${by}${reason === null ? '' : `: ${reason}`}`)),
    ),
  ];
}

function some(count: number, what: string): string[] {
  return count === 0 ? [] : [`${grouped(count)} ${what}`];
}

function attentionOf(all: readonly Attention[], { rows }: Size): ScreenLine[] {
  if (all.length === 0) return [{ text: 'nothing needs attention', style: 'good' }];
  const most = rows === null ? all.length : Math.max(1, Math.floor(rows * ATTENTION_SHARE));
  const shown = all.length <= most ? all : all.slice(0, Math.max(1, most - 1));
  const lines = shown.map(
    ({ severity, text }): ScreenLine => ({ text: `${MARKS[severity]} ${text}`, style: severity }),
  );
  const more = all.length - shown.length;
  return more === 0 ? lines : [...lines, { text: `   and ${grouped(more)} more`, style: 'faint' }];
}

function bodyOf(top: TopState, room: number | null): ScreenLine[] {
  const { hasHelp, openedId, opened } = top;
  const lines = hasHelp
    ? HELP.map(plain)
    : openedId === null
      ? rowsOf(top, room)
      : opened === null
        ? [plain(`submission ${openedId} ...`)]
        : linesOfOne(opened);
  return room === null ? lines : lines.slice(0, room);
}

/** The table: its head, and as many rows as there is room for, among them the selected one. */
function rowsOf({ items, selected, matched, filter }: TopState, room: number | null): ScreenLine[] {
  if (items.length === 0)
    return [{ text: filter === '' ? 'no open submissions' : 'no submissions match', style: 'faint' }];
  const most = room === null ? items.length : Math.max(0, room - 1);
  const from = Math.max(0, Math.min(selected - most + 1, items.length - most));
  const [names = '', ...rows] = table(COLUMNS, items).trimEnd().split('\n');
  const lines: ScreenLine[] = [{ text: names, style: 'title' }];
  for (const [at, text] of rows.slice(from, from + most).entries())
    lines.push({ text, style: room !== null && from + at === selected ? 'selected' : 'plain' });
  if (room === null && matched !== null && matched > items.length)
    lines.push({ text: `and ${grouped(matched - items.length)} more`, style: 'faint' });
  return lines;
}

function footOf(top: TopState): ScreenLine {
  const { sort, isFrozen, items, matched, selected, typed, asked, note, openedId, hasHelp } = top;
  if (typed !== null) return { text: `filter: ${oneLine(typed)}_  ${FILTER_HINT}`, style: 'title' };
  if (asked !== null) {
    return { text: `${asked.verb} submission ${asked.id}? y yes, any other key no`, style: 'warning' };
  }
  if (note !== null) return { text: note, style: 'title' };
  if (hasHelp || openedId !== null) return { text: `Esc back  ${CHANGES}  q quit`, style: 'faint' };
  const place =
    items.length === 0 ? '' : `row ${grouped(selected + 1)} of ${grouped(matched ?? items.length)}, `;
  const keys = isFrozen ? KEYS.replace('p pause', 'p go on') : KEYS;
  // The first of it is seen on a narrow terminal as well.
  return { text: `${place}by ${sort.replaceAll('_', ' ')}  ${keys}`, style: 'faint' };
}

function steady<Row>(columns: Readonly<Record<keyof typeof WIDTHS_MIN, (row: Row) => string>>) {
  return Object.fromEntries(
    Object.entries(columns).map(([name, text]) => [
      name,
      (row: Row) => text(row).padStart(WIDTHS_MIN[name as keyof typeof WIDTHS_MIN]),
    ]),
  );
}

/** Without what would move the cursor or break the line, but with the spaces of a table. */
function oneRow(text: string): string {
  return `${/^ */.exec(text)![0]}${oneLine(text)}`.replaceAll(/[\t\u2028\u2029]/g, ' ');
}

/** What terminals draw in two columns, or may. */
const WIDE = /[\u1100-\u1fff\u2e80-\uffff\u{10000}-\u{10ffff}]|\p{Emoji_Presentation}/u;

/** Columns that a text takes at most. */
export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += WIDE.test(character) ? 2 : 1;
  return width;
}

/** The beginning of a text that fits. */
function cut(text: string, columns: number | null): string {
  if (columns === null || widthOf(text) <= columns) return text;
  let [width, shown] = [0, ''];
  for (const character of text) {
    width += widthOf(character);
    if (width >= columns) break;
    shown += character;
  }
  return columns < 1 ? '' : `${shown}…`;
}
