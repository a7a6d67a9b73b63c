import type { Command } from 'commander';
import { queueText, UNNAMED_QUEUE } from '../model/queue-name.ts';
import {
  FAILURES_KEPT_MAX,
  type FailureGroup,
  type FailureRow,
  type FailuresAnswer,
} from '../protocol/api/failures.ts';
import type { Frame, List } from '../protocol/api/lists.ts';
import type { NodeRow, NodesAnswer } from '../protocol/api/nodes.ts';
import { LIMIT_MAX } from '../protocol/api/parameters.ts';
import {
  SUBMISSION_FILTERS,
  SUBMISSION_SORTS,
  type SubmissionFilter,
  type SubmissionItem,
  type SubmissionSort,
} from '../protocol/api/submissions.ts';
import { adviceWithCommand, WHY_NAMES, type Why } from '../protocol/api/why.ts';
import { type ClientFlags, clientCommand, withProducer } from './client-command.ts';
import type { Io } from './io.ts';
import { tellMissing } from './missing-text.ts';
import { ExitError } from './serve.ts';
import { SUBMISSION_COLUMNS } from './submission-columns.ts';
import { grouped, oneLine, table, timeText, toJson, toSecond, visible } from './text.ts';
import { integer, metadataPair, plainFlag, submissionId } from './values.ts';

/** What `opsqueue why` ends with if something is in the way. */
const EXIT_IN_THE_WAY = 3;

/** The commands that tell what is going on in a queue, from its API. */
export function viewCommands(io: Io): Command[] {
  return [lsOf(io), whyOf(io), failuresOf(io), nodesOf(io)];
}

interface LsFlags extends ClientFlags {
  readonly state: SubmissionFilter;
  readonly metadata?: ReadonlyMap<string, bigint>;
  readonly prefix?: string;
  readonly failure?: string;
  readonly sort: SubmissionSort;
  readonly order: 'asc' | 'desc';
  readonly limit: number;
  readonly quiet?: boolean;
}

function lsOf(io: Io): Command {
  return clientCommand('ls', 'list submissions')
    .addOption(
      plainFlag(
        '--state <state>',
        'those in this state; open: all that have not ended; all: those that have, too',
      )
        .choices(SUBMISSION_FILTERS)
        .default('open'),
    )
    .addOption(
      plainFlag(
        '--metadata <key=number>',
        'those with this pair of strategic metadata; repeat it for those with all of the pairs',
        metadataPair,
      ),
    )
    .addOption(plainFlag('--prefix <prefix>', 'those whose prefix begins so'))
    .addOption(plainFlag('--failure <fingerprint>', 'those of which a try failed so: see opsqueue failures'))
    .addOption(
      plainFlag('--sort <column>', 'by what they are sorted; those that have ended come by inserted')
        .choices(SUBMISSION_SORTS)
        .default('inserted'),
    )
    .addOption(plainFlag('--order <order>', 'asc or desc').choices(['asc', 'desc']).default('desc'))
    .addOption(
      plainFlag('--limit <number>', 'at most this number of submissions', integer(1, 1_000_000)).default(50),
    )
    .option('-q, --quiet', 'print ids only, one a line')
    .addHelpText(
      'after',
      `
Of all queues of the server, or of the one that --url or --queue names. RATE and LEFT go by the last minute.

Examples:
  opsqueue ls --state failing
  opsqueue ls --metadata customer=42 --sort left
  opsqueue ls --state failed -q | xargs -n 1 opsqueue status`,
    )
    .action(async (flags: LsFlags) => {
      const answer = await withProducer(flags, async (producer) => {
        const found: SubmissionItem[] = [];
        for (let cursor: string | null = ''; ; ) {
          const limit = Math.min(LIMIT_MAX, flags.limit - found.length);
          const query = {
            ...queryOf(flags),
            ...unnamedOnly(flags),
            limit,
            ...(cursor === '' ? {} : { cursor }),
          };
          const page = (await producer.view('submissions', query)) as List<SubmissionItem>;
          found.push(...page.items);
          cursor = page.next;
          if (cursor === null || found.length >= flags.limit) return { ...page, items: found };
        }
      });
      const { matched, items } = answer;
      tellMissing(io, answer);
      if (flags.json) io.stdout.write(`${toJson(answer)}\n`);
      else if (flags.quiet) io.stdout.write(items.map(({ id }) => `${id}\n`).join(''));
      else {
        io.stdout.write(table(SUBMISSION_COLUMNS, items));
        if (matched !== null && matched > items.length) {
          io.stderr.write(
            `opsqueue: ${grouped(matched - items.length)} more: raise --limit, or narrow the filter\n`,
          );
        }
      }
    });
}

function queryOf({ state, metadata, prefix, failure, sort, order }: LsFlags) {
  return {
    state,
    sort,
    order,
    meta: Array.from(metadata ?? [], ([key, value]) => `${key}:${value}`),
    ...(prefix === undefined ? {} : { prefix_starts: prefix }),
    ...(failure === undefined ? {} : { failure }),
  };
}

function whyOf(io: Io): Command {
  return clientCommand('why', 'say why a submission does not go on, or what keeps work from going on')
    .argument('[id]', 'of a submission; without: all that is open', submissionId)
    .option('-v, --verbose', 'print everything that was looked at')
    .addHelpText(
      'after',
      `
Ends with status 0 if work goes on, or has ended, and with ${EXIT_IN_THE_WAY} if something is in the way.`,
    )
    .action(async (id: bigint | undefined, flags: ClientFlags & { readonly verbose?: boolean }) => {
      const query = { ...unnamedOnly(flags), ...(id === undefined ? {} : { submission: String(id) }) };
      const why = (await withProducer(flags, (producer) => producer.view('why', query))) as Why;
      tellMissing(io, why);
      if (flags.json) io.stdout.write(`${toJson(why)}\n`);
      else {
        const lines = flags.verbose
          ? why.checks.map(
              ({ ok, code, evidence }) => `${ok ? 'yes' : 'NO '} ${WHY_NAMES[code]}: ${evidence}`,
            )
          : [`${why.verdict}: ${why.text}`];
        // Of all of them, the one that is told about.
        if (id === undefined && why.queue !== null)
          lines.unshift(`of ${queueText(why.queue === UNNAMED_QUEUE ? '' : why.queue)}:`);
        const advice = adviceWithCommand(why);
        if (advice !== null) lines.push(`what to do: ${advice}`);
        io.stdout.write(lines.map((line) => `${oneLine(line)}\n`).join(''));
      }
      if (!why.ok) throw new ExitError(EXIT_IN_THE_WAY);
    });
}

/** The unnamed queue has no path of its own: without a filter a view is of all queues. */
function unnamedOnly({ queue }: ClientFlags): { readonly queue?: string } {
  return queue === '' ? { queue: UNNAMED_QUEUE } : {};
}

interface FailuresFlags extends ClientFlags {
  readonly each?: boolean;
  readonly limit: number;
}

function failuresOf(io: Io): Command {
  return clientCommand('failures', 'list what failed of late, grouped by what it says')
    .argument('[id]', 'of a submission; without: of all', submissionId)
    .option('--each', 'each failure by itself, with its whole text')
    .addOption(
      plainFlag(
        '--limit <number>',
        'at most this number of groups or failures',
        integer(1, LIMIT_MAX),
      ).default(50),
    )
    .addHelpText(
      'after',
      `
The last 2,000 tries that failed, expired or lost their connection since the start of the server, those with most first.
opsqueue ls --failure FINGERPRINT lists the submissions; opsqueue status ID --failures, chunks that were set aside.`,
    )
    .action(async (id: bigint | undefined, flags: FailuresFlags) => {
      const query = {
        ...unnamedOnly(flags),
        limit: flags.limit,
        group: flags.each ? 'none' : 'fingerprint',
        ...(id === undefined ? {} : { submission: String(id) }),
      };
      const answer = await withProducer(flags, (producer) => producer.view('failures', query));
      tellMissing(io, answer as Partial<Frame>);
      const { forgotten, since } = answer as FailuresAnswer;
      if (forgotten)
        io.stderr.write(
          `opsqueue: only the newest ${grouped(FAILURES_KEPT_MAX)}, since ${toSecond(since)}\n`,
        );
      if (flags.json) io.stdout.write(`${toJson(answer)}\n`);
      else if (flags.each) io.stdout.write((answer as List<FailureRow>).items.map(eachText).join(''));
      else io.stdout.write(table(FAILURE_COLUMNS, (answer as List<FailureGroup>).items));
    });
}

const FAILURE_COLUMNS = {
  fingerprint: ({ fingerprint }) => fingerprint,
  count: ({ count }) => grouped(count),
  submissions: ({ submissions }) => grouped(submissions),
  consumers: ({ consumers }) => grouped(consumers),
  last: ({ last }) => toSecond(last),
  '': ({ title, cause }) => oneLine(cause === 'failed' ? title : `${cause}: ${title}`),
} as const satisfies Readonly<Record<string, (group: FailureGroup) => string>>;

function eachText({
  at,
  submission,
  chunk,
  cause,
  fatal,
  conn_id: connId,
  took_ms: tookMs,
  text,
}: FailureRow): string {
  const last = fatal ? ', its last try' : '';
  const head = `${at}  submission ${submission}, chunk ${chunk}: ${cause} after ${timeText(tookMs)}${last}, on ${connId ?? 'a consumer'}`;
  const lines = visible(text.trimEnd()).split('\n');
  return `${oneLine(head)}\n${lines.map((line) => `    ${line}\n`).join('')}`;
}

function nodesOf(io: Io): Command {
  return clientCommand('nodes', 'list the nodes that share a store, as the one sees it that answers')
    .addHelpText(
      'after',
      `
Answered also while no node has any queue. SHARDS: open on it; of one that does not answer, its leases. READY: it takes over what
another one leaves. ALIVE: its last sign of life in the database. Nodes that are gone are listed for an hour, or until another one has their
address: stopped, in good order; silent, if not. With SQLite there is one.`,
    )
    .action(async (flags: ClientFlags) => {
      const answer = (await withProducer(flags, (producer) => producer.view('nodes'))) as NodesAnswer;
      if (flags.json) io.stdout.write(`${toJson(answer)}\n`);
      else io.stdout.write(table(NODE_COLUMNS, answer.items));
    });
}

const NODE_COLUMNS = {
  address: ({ address }) => oneLine(address),
  state: ({ state }) => state,
  shards: ({ shards }) => String(shards),
  ready: ({ ready }) => (ready ? 'yes' : 'no'),
  since: ({ since }) => (since === null ? '-' : toSecond(since)),
  alive: ({ alive }) => toSecond(alive),
  version: ({ version }) => oneLine(version ?? '-'),
  node: ({ node }) => oneLine(node),
  '': ({ reason }) => oneLine(reason ?? ''),
} as const satisfies Readonly<Record<string, (node: NodeRow) => string>>;
