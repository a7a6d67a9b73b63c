import { listedQueue, queueText } from '../model/queue-name.ts';
import type { ChangeReport, Verb, WorkTarget } from '../producer/index.ts';
import { heldText, silentText, unchangedText, VERB_WORDS } from '../protocol/api/verb-words.ts';
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

/** What a verb has done, for people. */
export function reportText(report: ChangeReport, work: WorkTarget, of: Reported): string {
  const { done, unchanged, chunks = 0, ids, dryRun } = report;
  const { would, did } = VERB_WORDS[of.verb];
  const verb = dryRun ? would : did;
  const unchangedOf = (isOne: boolean) => unchangedText(of.verb, of.cause ?? null, isOne);
  const scope = 'server' in work ? 'the server' : 'queue' in work ? queueText(work.queue) : null;
  if (scope !== null)
    return `${done === 0 ? `${scope} ${unchangedOf(true)}` : `${verb} ${scope}`}\n${stillText(report, of)}`;
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
  if (unchanged > 0) lines.push(`${counted(unchanged, 'submission')} ${unchangedOf(unchanged === 1)}`);
  if (chunks > 0) lines.push(`${counted(chunks, 'chunk')} to be done again`);
  lines.push(...report.nodesMissing.map(silentText));
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
    const count = matched === 1 ? '' : ` (${grouped(submissions)} of ${counted(matched, 'submission')})`;
    return `${heldText(of, queueText(queue ?? ''))}${count}: ${oneLine(pauseText(pause))}`;
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
