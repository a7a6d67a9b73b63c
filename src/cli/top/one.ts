import { LEFT_UNKNOWN_WORDS, type SubmissionAnswer } from '../../protocol/api/submissions.ts';
import { adviceWithCommand } from '../../protocol/api/why.ts';
import { SUBMISSION_COLUMNS } from '../submission-columns.ts';
import { counted, grouped, rateText, timeText, toSecond } from '../text.ts';
import type { Opened, ScreenLine } from './state.ts';

/** What `opsqueue top` shows of one submission. */
export function linesOfOne({ submission, why }: Opened): ScreenLine[] {
  const { id, queue, state, failing, failures, timeline, end } = submission;
  const what = SUBMISSION_COLUMNS[''](submission);
  const advice = adviceWithCommand(why);
  return [
    line(`submission ${id}, queue ${queue}: ${state}${failing ? ', failing' : ''}  ${what}`, 'title'),
    line(progressOf(submission)),
    line(paceOf(submission)),
    ...(end === null ? [] : [line(endOf(end))]),
    line(''),
    line(`${why.verdict.replaceAll('_', ' ')}: ${why.text}`, why.ok ? 'good' : 'warning'),
    ...(advice === null ? [] : [line(`what to do: ${advice}`)]),
    line(''),
    ...(failures.length === 0 ? [] : [line('FAILURES', 'title')]),
    ...failures.map(({ count, cause, title, last }) =>
      line(`${grouped(count)} x ${cause === 'failed' ? '' : `${cause}: `}${title}, last ${toSecond(last)}`),
    ),
    line('WHAT HAPPENED', 'title'),
    ...timeline.map(({ kind, at, by, text }) =>
      line(
        `${toSecond(at)}  ${kind.replaceAll('_', ' ')}${text === '' ? '' : `: ${text}`}${by === null ? '' : `, by ${by}`}`,
      ),
    ),
  ];
}

function line(text: string, style: ScreenLine['style'] = 'plain'): ScreenLine {
  return { text, style };
}

function endOf({ chunk, text, by }: NonNullable<SubmissionAnswer['end']>): string {
  const where = chunk === null ? 'ended' : `chunk ${chunk} ended it`;
  return `${where}${by === null ? '' : ` by ${by}`}${text === '' ? '' : `: ${text}`}`;
}

function progressOf(submission: SubmissionAnswer): string {
  const { total, done, reserved, waiting, delayed, paused, failed } = submission.chunks;
  const parts = [
    `${grouped(done)} of ${counted(total, 'chunk')} done (${SUBMISSION_COLUMNS.done(submission)})`,
  ];
  for (const [count, words] of [
    [reserved, 'in flight'],
    [waiting, 'waiting'],
    [delayed, 'wait for a retry'],
    [paused, 'paused'],
    [failed, 'failed'],
  ] as const) {
    if (count > 0) parts.push(`${grouped(count)} ${words}`);
  }
  return parts.join(', ');
}

function paceOf(submission: SubmissionAnswer): string {
  const {
    rate,
    durations_ms: durations,
    oldest_held_ms: heldMs,
    left_ms: left,
    left_unknown: unknown,
  } = submission;
  const parts = [`${rateText(rate)} chunks/s`];
  if (left !== null) parts.push(`${SUBMISSION_COLUMNS.left(submission)} left`);
  if (unknown !== null) parts.push(`time left not known: ${LEFT_UNKNOWN_WORDS[unknown]}`);
  if (durations !== null) {
    const { p50, p90, max } = durations;
    parts.push(`a chunk takes ${timeText(p50)}, nine of ten ${timeText(p90)}, at most ${timeText(max)}`);
  }
  if (heldMs !== null) parts.push(`one is held for ${timeText(heldMs)}`);
  return parts.join(', ');
}
