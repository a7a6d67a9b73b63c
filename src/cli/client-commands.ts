import type { Command } from 'commander';
import { listedQueue, queueText } from '../model/queue-name.ts';
import { END_STATES } from '../model/submission.ts';
import {
  type ChangeReport,
  type EndState,
  IncorrectUsageError,
  NothingMatchesError,
  type ProducerClient,
  QueueUnsupportedError,
  type Submission,
  type SubmissionDetails,
  SubmissionNotFoundError,
} from '../producer/index.ts';
import type { List } from '../protocol/api/lists.ts';
import type { QueueRow } from '../protocol/api/queue.ts';
import { type ClientFlags, clientCommand, urlOf, withProducer } from './client-command.ts';
import { type Io, written } from './io.ts';
import { tellMissing } from './missing-text.ts';
import { queuesText, unattendedText } from './queues-text.ts';
import { ExitError } from './serve.ts';
import { failureJson, failureText, pauseText, statusJson, statusText } from './status-text.ts';
import { oneLine, toJson } from './text.ts';
import { integer, metadataPair, plainFlag, submissionId } from './values.ts';
import { verbCommands } from './verb-commands.ts';
import { holdLines } from './verb-report.ts';
import { watch } from './watch.ts';

const WATCH_RETRY_MS = 5 * 60_000;

/** The commands that ask a running queue. */
export function clientCommands(io: Io): Command[] {
  return [
    statusOf(io),
    watchOf(io),
    ...verbCommands(io),
    countOf(io),
    lookupOf(io),
    queuesOf(io),
    versionOf(io),
  ];
}

function statusOf(io: Io): Command {
  return clientCommand('status', 'show a submission')
    .argument('<id>', 'of the submission', submissionId)
    .addOption(
      plainFlag('--failures', 'list the chunks that failed instead, each with the failure of its last try'),
    )
    .addHelpText(
      'after',
      `
With --failures --json each line is an object, with chunk_index and failure; without failures nothing is printed.`,
    )
    .action(async (id: bigint, flags: ClientFlags & { readonly failures?: boolean }) => {
      await withProducer(flags, async (producer) => {
        const status = await known(producer, id, flags);
        if (flags.failures) await listFailures(io, producer.submission(id), flags.json === true);
        else if (flags.json) io.stdout.write(`${toJson(statusJson(status))}\n`);
        else io.stdout.write(statusText(status, await unattended(producer, status, flags)));
      });
    });
}

/** However many there are. */
async function listFailures(io: Io, submission: Submission, json: boolean): Promise<void> {
  for await (const chunk of submission.failedChunks()) {
    await written(io.stdout, json ? `${toJson(failureJson(chunk))}\n` : failureText(chunk));
  }
}

function watchOf(io: Io): Command {
  return clientCommand('watch', 'follow a submission until it ends')
    .argument('<id>', 'of the submission', submissionId)
    .addHelpText(
      'after',
      `
A bar on a terminal, a line now and then elsewhere. Ends with status 0 if the submission completed, with 1 if not.
With --json each line is an object; the last one is what opsqueue status --json prints.`,
    )
    .action(async (id: bigint, flags: ClientFlags) => {
      await withProducer(flags, async (producer) => {
        const status = await known(producer, id, flags);
        const note = await unattended(producer, status, flags);
        if (flags.json) return;
        for (const text of pausesOf(status)) io.stderr.write(`opsqueue: paused: ${oneLine(text)}\n`);
        if (note !== null) io.stderr.write(`opsqueue: ${note}\n`);
      });
      // Having seen the queue once, it waits for one that is started again.
      const patient = { retryForMs: WATCH_RETRY_MS };
      const json = flags.json === true;
      const status = await withProducer(
        flags,
        (producer) => watch(producer.submission(id), { io, json }),
        patient,
      );
      if (status.state !== 'completed') throw new ExitError(1);
    });
}

function pausesOf(status: SubmissionDetails): string[] {
  return status.state === 'in_progress' ? [...status.pauses, ...status.queuePauses].map(pauseText) : [];
}

function countOf(io: Io): Command {
  return clientCommand('count', 'count the submissions in progress').action(async (flags: ClientFlags) => {
    const count = await withProducer(flags, (producer) => producer.countSubmissions());
    io.stdout.write(flags.json ? `${toJson({ in_progress: count })}\n` : `${count}\n`);
  });
}

interface LookupFlags extends ClientFlags {
  readonly prefix?: string;
  readonly metadata?: ReadonlyMap<string, bigint>;
  readonly state?: EndState | 'paused' | 'delayed';
  readonly limit: number;
}

function lookupOf(io: Io): Command {
  return clientCommand('lookup', 'find submissions, by prefix, by strategic metadata or by how they ended')
    .addOption(plainFlag('--prefix <prefix>', 'the one with this prefix, in any state').conflicts('metadata'))
    .addOption(
      plainFlag(
        '--metadata <key=number>',
        'those in progress with this pair; repeat it for those with all of the pairs',
        metadataPair,
      ),
    )
    .addOption(
      plainFlag(
        '--state <state>',
        'those that ended in this state and are not forgotten yet, the newest first; or those in progress that are paused, by themselves or with their queue, or delayed (not started yet)',
      )
        .choices([...END_STATES, 'paused', 'delayed'])
        .conflicts(['prefix']),
    )
    .addOption(
      plainFlag(
        '--limit <number>',
        'with --state: at most this number of submissions',
        integer(1, 1_000_000),
      ).default(100),
    )
    .addHelpText(
      'after',
      `
Prints the ids, one a line. Without --prefix, --metadata and --state: all submissions in progress.

Examples:
  opsqueue lookup --state failed          then opsqueue status ID says why
  opsqueue lookup --state completed_with_failures
  opsqueue lookup --state paused          with the causes on stderr
  opsqueue lookup --prefix 0190c4de-6f1c-7d20-8a3c-2f8d1c0a4b5e
  opsqueue lookup --metadata company_id=42 --metadata urgency=1`,
    )
    .action(async (flags: LookupFlags) => {
      const submissions = await withProducer(flags, async (producer): Promise<readonly Submission[]> => {
        const { state, metadata, limit } = flags;
        if (state === 'paused' || state === 'delayed') {
          const { ids, ...found } = await inState(producer, state, metadata);
          for (const line of flags.json ? [] : holdLines(found)) io.stderr.write(`opsqueue: ${line}\n`);
          return ids.slice(0, limit).map((id) => producer.submission(id));
        }
        if (state !== undefined && metadata !== undefined) {
          throw new IncorrectUsageError(`--metadata finds what is in progress, not what is ${state}`);
        }
        if (state !== undefined) return producer.endedSubmissions(state, { limit });
        if (flags.prefix === undefined) return producer.submissionsInProgress(flags.metadata);
        const found = await producer.submissionByPrefix(flags.prefix);
        if (found === null)
          throw new ExitError(1, `no submission of this queue has the prefix ${flags.prefix}`);
        return [found];
      });
      const ids = submissions.map(({ id }) => id);
      io.stdout.write(flags.json ? `${toJson(ids)}\n` : ids.map((id) => `${id}\n`).join(''));
    });
}

async function inState(
  producer: ProducerClient,
  state: 'paused' | 'delayed',
  metadata: ReadonlyMap<string, bigint> | undefined,
): Promise<Pick<ChangeReport, 'ids' | 'matched' | 'pausedBy'>> {
  try {
    return await producer.cancel({ matching: { state, metadata } }, { dryRun: true });
  } catch (error) {
    if (error instanceof NothingMatchesError) return { ids: [], matched: 0, pausedBy: [] };
    throw error;
  }
}

function queuesOf(io: Io): Command {
  return clientCommand('queues', 'list the queues that are in use on a server')
    .addHelpText(
      'after',
      `
All queues of the server, whichever of them --url names. A queue exists while a submission of it is in progress, a consumer is
connected to it, or it is paused; - is the unnamed one. WAITING: chunks that could be handed out. PAUSED: chunks held\nby a pause of the submission, the queue or the server, or of submissions that are not to begin yet.`,
    )
    .action(async (flags: ClientFlags) => {
      if (flags.json) {
        const answer = (await withProducer(flags, (producer) => producer.view('queues'))) as List<QueueRow>;
        tellMissing(io, answer);
        io.stdout.write(`${toJson(answer)}\n`);
        return;
      }
      const { queues, nodesMissing, shardsMissing } = await withProducer(flags, (producer) =>
        producer.queues(),
      );
      tellMissing(io, { nodes_missing: nodesMissing, shards_missing: shardsMissing });
      io.stdout.write(queuesText(queues));
    });
}

function versionOf(io: Io): Command {
  return clientCommand('version', 'show the version of a running queue').action(
    async (flags: ClientFlags) => {
      const version = await withProducer(flags, (producer) => producer.serverVersion());
      io.stdout.write(flags.json ? `${toJson({ version })}\n` : `${version}\n`);
    },
  );
}

/** That nobody works on the queue of a submission in progress, which a typo in a name would explain; null if somebody does. */
async function unattended(
  producer: ProducerClient,
  { state }: SubmissionDetails,
  flags: ClientFlags,
): Promise<string | null> {
  if (state !== 'in_progress') return null;
  try {
    const { queues } = await producer.queues();
    return unattendedText(queues, /\/q\/([^/]*)\/*$/.exec(urlOf(flags))?.[1] ?? '');
  } catch (error) {
    if (error instanceof QueueUnsupportedError) return null;
    throw error;
  }
}

async function known(producer: ProducerClient, id: bigint, flags: ClientFlags): Promise<SubmissionDetails> {
  const details = await producer.submission(id).details();
  if (details !== null) return details;
  const queue = await queueOf(producer, id);
  const why =
    queue === null
      ? 'never inserted there, but in another queue of the server perhaps (opsqueue queues), or forgotten (--max-submission-age)'
      : `it is in ${queueText(queue)} (--queue ${listedQueue(queue)})`;
  throw new ExitError(1, `the queue at ${urlOf(flags)} does not know submission ${id}: ${why}`);
}

/** In which queue of the server a submission is that is not in the one asked, whether it has ended or not; null if that is not known. */
async function queueOf(producer: ProducerClient, id: bigint): Promise<string | null> {
  try {
    await producer.pause({ ids: [id] }, { dryRun: true });
  } catch (error) {
    if (error instanceof SubmissionNotFoundError) return error.queue;
    if (!(error instanceof QueueUnsupportedError)) throw error;
  }
  return null;
}
