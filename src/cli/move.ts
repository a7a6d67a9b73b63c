import { Command } from 'commander';
import { type Logger, type MoveProgress, type MoveReport, moveStore } from '../store/index.ts';
import { systemClock } from '../system/time/clock.ts';
import type { Io } from './io.ts';
import { ProgressLine } from './progress-line.ts';
import { counted, grouped, oneLine, timeText, toJson } from './text.ts';
import { plainFlag } from './values.ts';

interface MoveFlags {
  readonly from: string;
  readonly to: string;
  readonly json?: boolean;
}

/** `opsqueue move`: all that a queue remembers, from one store to another. */
export function moveCommand(io: Io): Command {
  return new Command('move')
    .description(
      'copy all that a stopped queue remembers from one store to another, such as SQLite to PostgreSQL',
    )
    .addOption(
      plainFlag('--from <url>', 'the store that the queue has used, as in --store').makeOptionMandatory(),
    )
    .addOption(plainFlag('--to <url>', 'one that does not exist, or holds nothing').makeOptionMandatory())
    .option('--json', 'print the progress and the summary as JSON, an object on each line')
    .allowExcessArguments(false)
    .addHelpText('after', HELP_AFTER)
    .action((flags: MoveFlags) => move(flags, io));
}

const HELP_AFTER = `
Stop the queue first: a store that is in use is refused, and no queue can start on either of the two meanwhile. Every row is
read back and compared. Interrupted, the target stays marked as incomplete, and no queue starts on it: the same command starts
over. The source is not changed, and stays as a backup; do not start a queue on it once the other one is in use. Databases of the
original opsqueue are taken over in their file first, which keeps a copy, as a start of the queue does.

Examples:
  opsqueue move --from sqlite:opsqueue.db --to postgres://opsqueue@db.internal/opsqueue
  opsqueue move --from postgres://opsqueue@db.internal/opsqueue --to sqlite:/var/lib/opsqueue/queue.db`;

async function move({ from, to, json }: MoveFlags, io: Io): Promise<void> {
  const line = new ProgressLine(io.stdout, systemClock);
  const startMs = systemClock.monotonicMs();
  let report: MoveReport;
  try {
    report = await moveStore({
      from,
      to,
      logger: messages(io),
      onProgress: (progress) => {
        if (json) io.stdout.write(`${toJson(progressJson(progress))}\n`);
        else line.show(progressState(progress, systemClock.monotonicMs() - startMs));
      },
    });
  } finally {
    line.finish();
  }
  const tookMs = systemClock.monotonicMs() - startMs;
  io.stdout.write(json ? `${toJson(reportJson(report, tookMs))}\n` : reportText(report, tookMs));
}

function progressState({ rowsDone, rowsTotal }: MoveProgress, elapsedMs: number) {
  const perSecond = rowsDone === 0 ? null : (1000 * rowsDone) / elapsedMs;
  const msLeft = perSecond === null ? null : (1000 * (rowsTotal - rowsDone)) / perSecond;
  return { done: rowsDone, total: rowsTotal, unit: 'rows', perSecond, msLeft };
}

function progressJson({ rowsDone, rowsTotal }: MoveProgress): object {
  return { rows_done: rowsDone, rows_total: rowsTotal };
}

function reportText({ from, to, rows, submissionsOpen }: MoveReport, tookMs: number): string {
  const { submissions = 0, ...others } = rows;
  const more = Object.entries(others).flatMap(([table, count]) =>
    count === 0 ? [] : `, ${grouped(count)} of ${table}`,
  );
  return `\
moved ${counted(submissions, 'submission')} (${grouped(submissionsOpen)} in progress)${more.join('')} in ${timeText(tookMs)}
from ${from}
to   ${to}
Every row was read back and compared. Start the queue on the new store; the old one is as it was: keep it as a backup, and
start no queue on it again.
`;
}

function reportJson({ from, to, rows, submissionsOpen }: MoveReport, tookMs: number): object {
  return { from, to, rows, submissions_open: submissionsOpen, took_ms: Math.round(tookMs) };
}

function messages(io: Io): Logger {
  const tell = (_fields: object, message: string) => io.stderr.write(`opsqueue: ${oneLine(message)}\n`);
  return { debug() {}, info: tell, warn: tell, error: tell };
}
