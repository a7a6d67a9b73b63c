import { listedQueue, queueText } from '../model/queue-name.ts';
import type { ChangeReport, WorkTarget } from '../producer/index.ts';
import { pauseJson, pauseText } from './status-text.ts';
import { counted, grouped, oneLine } from './text.ts';

/** How the answer says what was done. */
export interface Words {
  readonly did: string;
  readonly would: string;
  /** What things are of which there was nothing to do: one of them, and several. */
  readonly was: string;
  readonly were: string;
}

/** Ids that are printed for people. */
const IDS_SHOWN_MAX = 50;

export const WORDS = {
  pause: {
    did: 'paused',
    would: 'would pause',
    was: 'was paused for this cause already',
    were: 'were paused for this cause already',
  },
  resume: {
    did: 'resumed',
    would: 'would resume',
    was: 'was not paused for this cause',
    were: 'were not paused for this cause',
  },
  set: { did: 'changed', would: 'would change', was: 'was so already', were: 'were so already' },
  cancel: { did: 'cancelled', would: 'would cancel', was: 'had been cancelled', were: 'had been cancelled' },
  retry: {
    did: 'retried',
    would: 'would retry',
    was: 'has nothing that failed',
    were: 'have nothing that failed',
  },
} as const satisfies Record<string, Words>;

/** What a verb has done, for people. */
export function reportText(report: ChangeReport, work: WorkTarget, words: Words): string {
  const { done, unchanged, chunks = 0, ids, dryRun } = report;
  const verb = dryRun ? words.would : words.did;
  const scope = 'server' in work ? 'the server' : 'queue' in work ? queueText(work.queue) : null;
  if (scope !== null)
    return `${done === 0 ? `${scope} ${words.was}` : `${verb} ${scope}`}\n${stillText(report, words)}`;
  const [only] = ids;
  const lines: string[] = [];
  if (done === 1 && only !== undefined) lines.push(`${verb} ${only}`);
  else if (done > 0) {
    lines.push(
      `${verb} ${counted(done, 'submission')}:`,
      ...ids.slice(0, IDS_SHOWN_MAX).map((id) => `  ${id}`),
    );
    if (done > IDS_SHOWN_MAX) lines.push(`  and ${counted(done - IDS_SHOWN_MAX, 'other')}`);
  }
  if (unchanged > 0)
    lines.push(`${counted(unchanged, 'submission')} ${unchanged === 1 ? words.was : words.were}`);
  if (chunks > 0) lines.push(`${counted(chunks, 'chunk')} to be done again`);
  return `${lines.map((line) => `${line}\n`).join('')}${stillText(report, words)}`;
}

/** Why nothing is handed out after verbs that ask for it. */
function stillText(report: ChangeReport, words: Words): string {
  if (words !== WORDS.resume && words !== WORDS.retry) return '';
  return holdLines(report)
    .map((line) => `still ${line}\n`)
    .join('');
}

/** What is paused for which cause: `paused with queue images (2 of 3 submissions): disk-full, by ...`. */
export function holdLines({ matched, pausedBy }: Pick<ChangeReport, 'matched' | 'pausedBy'>): string[] {
  return pausedBy.map(({ of, queue, submissions, ...pause }) => {
    const where =
      of === 'submission' ? '' : ` with ${of === 'server' ? 'the server' : queueText(queue ?? '')}`;
    const count = matched === 1 ? '' : ` (${grouped(submissions)} of ${counted(matched, 'submission')})`;
    return `paused${where}${count}: ${oneLine(pauseText(pause))}`;
  });
}

/** The same for programs. */
export function reportJson(report: ChangeReport): object {
  const { dryRun, stillPaused, pausedBy, ...others } = report;
  return {
    dry_run: dryRun,
    ...others,
    still_paused: stillPaused,
    paused_by: pausedBy.map(({ of, queue, submissions, ...pause }) => ({
      of,
      queue: queue === null ? undefined : listedQueue(queue),
      submissions,
      ...pauseJson(pause),
    })),
  };
}
