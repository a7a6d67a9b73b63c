import type { Command } from 'commander';
import { IncorrectUsageError } from '../model/errors.ts';
import { FILTER_STATES, type FilterState } from '../model/verbs.ts';
import {
  type ChangeOptions,
  type ChangeReport,
  type ManyOptions,
  type ProducerClient,
  QueueUnsupportedError,
  type WorkChanges,
  type WorkTarget,
} from '../producer/index.ts';
import { userAtHost } from '../system/process/who.ts';
import { type ClientFlags, clientCommand, withProducer } from './client-command.ts';
import type { Io } from './io.ts';
import { ExitError } from './serve.ts';
import { oneLine, toJson } from './text.ts';
import {
  integer,
  metadataPair,
  plainFlag,
  type SetPairs,
  setPair,
  submissionId,
  type TimeFlag,
  timeFlag,
} from './values.ts';
import { type Reported, reportJson, reportText } from './verb-report.ts';

/** What a verb takes. */
interface VerbFlags extends ClientFlags {
  readonly metadata?: ReadonlyMap<string, bigint>;
  readonly state?: FilterState;
  readonly failure?: string;
  readonly all?: boolean;
  readonly reason?: string;
  readonly by?: string;
  readonly dryRun?: boolean;
  readonly expect?: number;
}

interface CauseFlags extends VerbFlags {
  readonly cause?: string;
  readonly everyCause?: boolean;
}

interface SetFlags extends VerbFlags {
  readonly deadline?: TimeFlag;
  readonly startAfter?: TimeFlag;
}

const SELECTING = `
Which: ids, or submissions in progress that match --metadata, --state and --failure; with --queue only those of that queue. What was done is
printed, with the ids; --dry-run prints what would be. Ends with status 1 if nothing matches, or if some of the ids could not be.`;

const SCOPES = `
Without ids and filters, --queue alone is the queue itself, with all that comes into it later, and --all the whole server.`;

/** The commands that change what goes on. */
export function verbCommands(io: Io): Command[] {
  return [pauseOf(io), resumeOf(io), setOf(io), cancelOf(io), retryOf(io)];
}

function pauseOf(io: Io): Command {
  return verbCommand(
    'pause',
    'hand out nothing more of submissions, a queue or the server; what runs goes on',
  )
    .addOption(plainFlag('--all', 'the whole server'))
    .addOption(
      plainFlag('--cause <name>', 'tells pauses apart: only a resume of the same cause lifts it').default(
        'manual',
      ),
    )
    .argument('[ids...]', 'of submissions')
    .addHelpText(
      'after',
      `${SELECTING}${SCOPES}

Examples:
  opsqueue pause 7216308450426880 --reason "the database is being migrated"
  opsqueue pause --metadata customer=42
  opsqueue pause --queue images --cause disk-full
  opsqueue pause --all --reason upgrade`,
    )
    .action(async (ids: readonly string[], flags: CauseFlags) => {
      const options = { ...optionsOf(flags), cause: flags.cause };
      await change(
        io,
        flags,
        { verb: 'pause', cause: flags.cause },
        workOf(ids, flags, true),
        (producer, work) => producer.pause(work, options),
      );
    });
}

function resumeOf(io: Io): Command {
  return verbCommand('resume', 'lift a pause of submissions, a queue or the server')
    .addOption(plainFlag('--all', 'the whole server'))
    .addOption(plainFlag('--cause <name>', 'which pause').default('manual').conflicts('everyCause'))
    .addOption(plainFlag('--every-cause', 'whatever they were paused for'))
    .argument('[ids...]', 'of submissions')
    .addHelpText(
      'after',
      `${SELECTING}${SCOPES}
A submission stays paused for its other causes, and while its queue or the server is paused.`,
    )
    .action(async (ids: readonly string[], flags: CauseFlags) => {
      const options = { ...optionsOf(flags), cause: flags.everyCause ? null : flags.cause };
      await change(
        io,
        flags,
        { verb: 'resume', cause: options.cause },
        workOf(ids, flags, true),
        (producer, work) => producer.resume(work, options),
      );
    });
}

function setOf(io: Io): Command {
  return verbCommand('set', 'change strategic metadata, deadline or start of submissions in progress')
    .addOption(plainFlag('--all', 'all submissions in progress'))
    .addOption(
      plainFlag('--deadline <time>', 'cancel it if it has not ended by then; none = never', timeFlag),
    )
    .addOption(plainFlag('--start-after <time>', 'hand out nothing before then; none = at once', timeFlag))
    .argument('[ids and pairs...]', 'ids of submissions, and key=number to set, or key= to take away')
    .addHelpText(
      'after',
      `${SELECTING}
Times: with their offset from UTC, such as 2030-01-01T22:00+01:00, or from now on, such as 2h.

Examples:
  opsqueue set 7216308450426880 urgency=9 --reason "customer waits"
  opsqueue set --metadata customer=42 --start-after none --deadline 8h`,
    )
    .action(async (given: readonly string[], flags: SetFlags) => {
      const ids = given.filter((each) => !each.includes('='));
      let pairs: SetPairs | undefined;
      for (const pair of given) if (pair.includes('=')) pairs = setPair(pair, 'a pair to set', pairs);
      const changes: WorkChanges = {
        strategicMetadata: pairs,
        deadline: flags.deadline?.(),
        startAfter: flags.startAfter?.(),
      };
      await change(io, flags, { verb: 'set' }, workOf(ids, flags, false), (producer, work) =>
        producer.set(work, changes, optionsOf(flags)),
      );
    });
}

function cancelOf(io: Io): Command {
  return verbCommand('cancel', 'end submissions before they are done; their results so far stay readable')
    .addOption(plainFlag('--all', 'all submissions in progress'))
    .argument('[ids...]', 'of submissions')
    .addHelpText('after', SELECTING)
    .action(async (ids: readonly string[], flags: VerbFlags) => {
      const work = workOf(ids, flags, false);
      const [id] = 'ids' in work && work.ids.length === 1 ? work.ids : [];
      if (id !== undefined && !flags.dryRun && flags.expect === undefined) {
        await cancelOne(io, BigInt(id), flags);
        return;
      }
      await change(io, flags, { verb: 'cancel' }, work, (producer) =>
        producer.cancel(work, optionsOf(flags)),
      );
    });
}

function retryOf(io: Io): Command {
  return verbCommand('retry', 'go on with what has failed: submissions, or chunks that were set aside', false)
    .addOption(plainFlag('--all', 'everything that has failed and is not forgotten yet'))
    .argument('[ids...]', 'of submissions')
    .addHelpText(
      'after',
      `
Which: ids, or submissions that carry the pairs of --metadata or failed as --failure says, in progress or ended; with --queue only those of that queue. What was
done stays done, all tries begin anew. Ends with status 1 if nothing matches, or if some of the ids could not be.

Examples:
  opsqueue retry 7216308450426880 --reason "disk replaced"
  opsqueue retry --metadata customer=42 --dry-run
  opsqueue retry --failure 0c1d9f6a3b27 --reason "disk replaced"`,
    )
    .action(async (ids: readonly string[], flags: VerbFlags) => {
      const work = workOf(ids, flags, false);
      await change(io, flags, { verb: 'retry' }, work, (producer) => producer.retry(work, optionsOf(flags)));
    });
}

/** By any queue, the original's included, which does not keep by whom. */
async function cancelOne(io: Io, id: bigint, flags: VerbFlags): Promise<void> {
  await withProducer(flags, async (producer) => {
    const submission = producer.submission(id);
    try {
      await submission.cancel({ by: flags.by ?? userAtHost(), reason: flags.reason });
    } catch (error) {
      if (!(error instanceof QueueUnsupportedError) || flags.reason !== undefined) throw error;
      await submission.cancel();
    }
  });
  io.stdout.write(flags.json ? `${toJson({ id: String(id), state: 'cancelled' })}\n` : `cancelled ${id}\n`);
}

function verbCommand(name: string, description: string, hasStates = true): Command {
  const command = clientCommand(name, description)
    .addOption(
      plainFlag(
        '--metadata <key=number>',
        'those with this pair; repeat it for those with all of the pairs',
        metadataPair,
      ),
    )
    .addOption(plainFlag('--failure <fingerprint>', 'those of which a try failed so: see opsqueue failures'))
    .addOption(plainFlag('--reason <text>', 'why; kept with what is changed'))
    .addOption(plainFlag('--by <name>', 'who (default: user@host)'))
    .addOption(plainFlag('--dry-run', 'say what would be changed, and change nothing'))
    .addOption(plainFlag('--expect <number>', 'change nothing if more match', integer(0)));
  if (!hasStates) return command;
  return command.addOption(plainFlag('--state <state>', 'those in this state').choices(FILTER_STATES));
}

/** @throws IncorrectUsageError */
function workOf(ids: readonly string[], flags: VerbFlags, takesScopes: boolean): WorkTarget {
  const { metadata, state, failure, all = false, queue } = flags;
  const isFilter = [metadata, state, failure].some((each) => each !== undefined);
  if (ids.length > 0) {
    if (isFilter || all)
      throw new IncorrectUsageError('give ids, or --metadata, --state and --failure, or --all, not several');
    return { ids: ids.map(submissionId) };
  }
  if (isFilter) {
    if (all) throw new IncorrectUsageError('--all leaves nothing to --metadata, --state and --failure');
    return { matching: { metadata, state, failure, queue } };
  }
  if (!takesScopes) {
    if (all) return { matching: { queue } };
    throw new IncorrectUsageError('which submissions? Give ids, --metadata, --failure or --all');
  }
  if (all && queue !== undefined) throw new IncorrectUsageError('--all is the whole server: without --queue');
  if (queue !== undefined) return { queue };
  if (all) return { server: true };
  throw new IncorrectUsageError(
    'what? Give ids, --metadata, --state, --failure, --queue, or --all for the whole server',
  );
}

function optionsOf({ reason, by, dryRun, expect }: VerbFlags): ChangeOptions & ManyOptions {
  return { reason, by, dryRun, expected: expect };
}

async function change(
  io: Io,
  flags: VerbFlags,
  of: Reported,
  work: WorkTarget,
  run: (producer: ProducerClient, work: WorkTarget) => Promise<ChangeReport>,
): Promise<void> {
  // What is not of one queue is not asked at the address of one.
  const isOfQueue = 'ids' in work || ('matching' in work && flags.queue === undefined);
  const address = isOfQueue ? flags : { ...flags, queue: '' };
  const report = await withProducer(address, (producer) => run(producer, work));
  io.stdout.write(flags.json ? `${toJson(reportJson(report))}\n` : reportText(report, work, of));
  if (report.skipped.length === 0) return;
  if (!flags.json) {
    for (const { text } of report.skipped) io.stderr.write(`opsqueue: skipped: ${oneLine(text)}\n`);
  }
  throw new ExitError(1);
}
