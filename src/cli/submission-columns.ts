import type { SubmissionItem } from '../protocol/api/submissions.ts';
import { grouped, oneLine, rateText, timeText, toSecond } from './text.ts';

/** Columns of what stands at the end of a row. */
const LAST_CHARS_MAX = 60;

/** What a table of submissions has, by the names above its columns. */
export const SUBMISSION_COLUMNS = {
  id: ({ id }) => id,
  queue: ({ queue }) => queue,
  state: ({ state, failing }) => (failing ? `${state}, failing` : state),
  chunks: ({ chunks }) => grouped(chunks.total),
  done: ({ chunks: { done, total } }) => (total === 0 ? '' : `${Math.floor((done / total) * 100)}%`),
  waiting: ({ chunks }) => grouped(chunks.waiting),
  'in flight': ({ chunks }) => grouped(chunks.reserved),
  rate: ({ rate }) => (rate === 0 ? '' : `${rateText(rate)}/s`),
  left: ({ left_ms: left }) =>
    left === null
      ? ''
      : `${timeText(left.p50)}${left.p90 > 1.2 * left.p50 ? ` to ${timeText(left.p90)}` : ''}`,
  inserted: ({ inserted }) => toSecond(inserted),
  '': ({ prefix, metadata }) => {
    const pairs = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
    return oneLine([prefix ?? '', ...pairs].join(' ')).slice(0, LAST_CHARS_MAX);
  },
} as const satisfies Readonly<Record<string, (item: SubmissionItem) => string>>;
