import { listedQueue, queueText } from '../model/queue-name.ts';
import type { ChangeReport, Verb, WorkTarget } from '../producer/index.ts';
import { pauseJson, pauseText } from './status-text.ts';
import { counted, grouped, oneLine } from './text.ts';

/** What a report is of. */
export interface Reported {
  readonly verb: Verb;
  /** Of a pause or a resume; null = every cause. */
  readonly cause?: string | null | undefined;
}

/** Ids that are printed for people. */
const IDS_SHOWN_MAX = 50;

const WORDS = {
  pause: { did: 'paused', would: 'would pause' },
  resume: { did: 'resumed', would: 'would resume' },
  set: { did: 'changed', would: 'would change' },
  cancel: { did: 'cancelled', would: 'would cancel' },
  retry: { did: 'retried', would: 'would retry' },
} as const satisfies Record<Verb, { readonly did: string; readonly would: string }>;

/** What things are of which there was nothing to do. */
function unchangedText({ verb, cause = null }: Reported, isOne: boolean): string {
  const was = isOne ? 'was' : 'were';
  const forCause = cause === null ? '' : ` for cause ${cause}`;
  switch (verb) {
    case 'pause':
      return `${was} paused${forCause} already`;
    case 'resume':
      return `${was} not paused${forCause}`;
    case 'set':
      return `${was} so already`;
    case 'cancel':
      return 'had been cancelled';
    case 'retry':
      return `${isOne ? 'has' : 'have'} nothing that failed`;
  }
}

/** What a verb has done, for people. */
export function reportText(report: ChangeReport, work: WorkTarget, of: Reported): string {
  const { done, unchanged, chunks = 0, ids, dryRun } = report;
  const { would, did } = WORDS[of.verb];
  const verb = dryRun ? would : did;
  const scope = 'server' in work ? 'the server' : 'queue' in work ? queueText(work.queue) : null;
  if (scope !== null)
    return `${done === 0 ? `${scope} ${unchangedText(of, true)}` : `${verb} ${scope}`}\n${stillText(report, of)}`;
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
  if (unchanged > 0) lines.push(`${counted(unchanged, 'submission')} ${unchangedText(of, unchanged === 1)}`);
  if (chunks > 0) lines.push(`${counted(chunks, 'chunk')} to be done again`);
  for (const address of report.nodesMissing) {
    lines.push(`node ${address} did not answer: what it did is not known`);
  }
  return `${lines.map((line) => `${line}\n`).join('')}${stillText(report, of)}`;
}

/** Why nothing is handed out after verbs that ask for it. */
function stillText(report: ChangeReport, { verb }: Reported): string {
  if (verb !== 'resume' && verb !== 'retry') return '';
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
  const { dryRun, stillPaused, pausedBy, nodesMissing, ...others } = report;
  return {
    dry_run: dryRun,
    ...others,
    nodes_missing: nodesMissing.length === 0 ? undefined : nodesMissing,
    still_paused: stillPaused,
    paused_by: pausedBy.map(({ of, queue, submissions, ...pause }) => ({
      of,
      queue: queue === null ? undefined : listedQueue(queue),
      submissions,
      ...pauseJson(pause),
    })),
  };
}
