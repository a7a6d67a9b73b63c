import type { Command } from 'commander';
import { IncorrectUsageError } from '../../model/errors.ts';
import { messageOf } from '../../model/thrown.ts';
import type { ProducerClient } from '../../producer/index.ts';
import type { List } from '../../protocol/api/lists.ts';
import type { Overview } from '../../protocol/api/overview.ts';
import {
  SUBMISSION_SORTS,
  type SubmissionAnswer,
  type SubmissionItem,
  type SubmissionSort,
} from '../../protocol/api/submissions.ts';
import type { Why } from '../../protocol/api/why.ts';
import { type Clock, sleep, systemClock } from '../../system/time/clock.ts';
import { type ClientFlags, clientCommand, urlOf, withProducer } from '../client-command.ts';
import { type Io, written } from '../io.ts';
import { StopSignals } from '../stop-signals.ts';
import { oneLine, toJson } from '../text.ts';
import { integer, plainFlag, readDuration } from '../values.ts';
import { filterQuery } from './filter.ts';
import { CTRL_C, pressed, rowWithin } from './keys.ts';
import { linesOf } from './screen.ts';
import { type AskedChange, newTop, type TopState } from './state.ts';
import { Terminal } from './terminal.ts';

/** Rows to scroll through; the queue sorts, so these are the first of all. */
const ROWS_MAX = 100;
const FOREVER_MS = 0x7fff_ffff;
/** What is asked anew when one of these changes. */
const ANEW = ['sort', 'isFrozen', 'filter', 'openedId'] as const;

interface TopFlags extends ClientFlags {
  readonly batch?: boolean;
  readonly count?: number;
  readonly delay: number;
  readonly sort: SubmissionSort;
}

/** `opsqueue top`. */
export function topCommand(io: Io): Command {
  return clientCommand('top', 'show what the queue does, on the whole screen')
    .option('-b, --batch', 'print the figures as plain text, one time after the other')
    .addOption(plainFlag('-n, --count <number>', 'end after this number of times', integer(1)))
    .addOption(
      plainFlag(
        '-d, --delay <duration>',
        'between one time and the next',
        readDuration(100, 3_600_000),
      ).default(1000, '1s'),
    )
    .addOption(
      plainFlag('--sort <column>', 'by what the submissions are sorted')
        .choices(SUBMISSION_SORTS)
        .default('rate'),
    )
    .addHelpText(
      'after',
      `
Of all queues of the server, or of the one that --url or --queue names. --json prints an object per time, and implies -b.
Keys: ? help, q quit, j k or arrows next and previous row, g G first and last, Enter open the submission, Esc go back,
/ filter, s sort by the next column, p pause the figures; P pause, R resume, C cancel, T retry the submission, after a question.
NO_COLOR=1 does without colours. While the queue does not answer, it goes on trying.

Examples:
  opsqueue top
  opsqueue top -b -n 1`,
    )
    .action(async (flags: TopFlags) => {
      if (flags.batch || flags.json) {
        await withProducer(flags, (producer) => batch(producer, flags, io));
        return;
      }
      if (!io.stdout.isTTY || !process.stdin.isTTY || process.env.TERM === 'dumb')
        throw new IncorrectUsageError('this is no terminal to draw on: opsqueue top -b prints plain text');
      const signals = new StopSignals(systemClock, process);
      const ended = await withProducer(flags, (producer) => interactive(producer, flags, io, signals));
      signals.release();
      // What was told to end by a signal ends by it, so that its parent sees it.
      if (ended !== null) process.kill(process.pid, ended);
    });
}

async function read(producer: ProducerClient, top: TopState, clock: Clock, signal?: AbortSignal) {
  const options = signal === undefined ? {} : { signal };
  const query = { ...filterQuery(top.filter, top.sort), limit: ROWS_MAX };
  const [overview, list, opened] = await Promise.all([
    producer.view('overview', {}, options) as Promise<Overview>,
    producer.view('submissions', query, options) as Promise<List<SubmissionItem>>,
    top.openedId === null ? null : openedOf(producer, top.openedId, options),
  ]);
  return {
    overview,
    opened,
    items: list.items,
    matched: list.matched,
    heardAtMs: clock.monotonicMs(),
    problem: null,
  };
}

async function openedOf(producer: ProducerClient, id: string, options: { readonly signal?: AbortSignal }) {
  const [submission, why] = await Promise.all([
    producer.view(`submissions/${id}`, {}, options) as Promise<SubmissionAnswer>,
    producer.view('why', { submission: id }, options) as Promise<Why>,
  ]);
  return { submission, why };
}

/** Does what was confirmed; answers what came of it. */
async function changed(producer: ProducerClient, { verb, id }: AskedChange): Promise<string> {
  try {
    const { done, unchanged } = await producer[verb]({ ids: [id] });
    return `${verb} ${id}: ${done > 0 ? 'done' : unchanged > 0 ? 'it was so already' : 'nothing to do'}`;
  } catch (error) {
    return oneLine(messageOf(error));
  }
}

/** One time after the other; the last one must have an answer. */
async function batch(producer: ProducerClient, flags: TopFlags, { stdout }: Io): Promise<void> {
  let top = newTop(urlOf(flags), flags.sort);
  for (let time = 1; ; time++) {
    try {
      top = { ...top, ...(await read(producer, top, systemClock)) };
    } catch (error) {
      if (time === flags.count || top.heardAtMs === null) throw error;
      top = { ...top, problem: messageOf(error) };
    }
    const size = { columns: stdout.isTTY ? (stdout.columns ?? null) : null, rows: null };
    const lines = linesOf(top, size, systemClock.monotonicMs()).map(({ text }) => `${text}\n`);
    const { overview, items: submissions, matched, problem } = top;
    await written(
      stdout,
      flags.json ? `${toJson({ overview, matched, submissions, problem })}\n` : `${lines.join('')}\n`,
    );
    if (time === flags.count) return;
    await sleep(systemClock, flags.delay);
  }
}

/** On the whole screen, until a key or a signal ends it; answers which signal, null for a key. */
async function interactive(producer: ProducerClient, flags: TopFlags, { stdout }: Io, signals: StopSignals) {
  let top = newTop(urlOf(flags), flags.sort);
  // What is waited for, or slept, is given up when a key changes what is wanted.
  let turn = new AbortController();
  let hasEnded = false;
  const end = () => {
    hasEnded = true;
    turn.abort();
  };
  const signalled = signals.first.then((signal) => {
    end();
    return signal;
  });
  const change = (confirmed: AskedChange) => {
    top = { ...top, confirmed: null, note: `${confirmed.verb} ${confirmed.id} ...` };
    void changed(producer, confirmed).then((note) => {
      top = { ...top, note };
      turn.abort();
      terminal.draw();
    });
  };
  using terminal = new Terminal({
    keyboard: process.stdin,
    output: stdout,
    events: process,
    clock: systemClock,
    hasColour: (process.env.NO_COLOR ?? '') === '',
    screen: (size) => linesOf(top, size, systemClock.monotonicMs()),
    key(key) {
      const isWord = top.typed !== null || top.asked !== null;
      if (!isWord && (key === 'q' || key === CTRL_C)) return end();
      const before = top;
      top = pressed(top, key);
      if (ANEW.some((name) => top[name] !== before[name])) turn.abort();
      if (top.confirmed !== null) change(top.confirmed);
      terminal.draw();
    },
    lost: end,
  });
  for (let time = 1; !hasEnded; time++) {
    turn = new AbortController();
    const { signal } = turn;
    try {
      if (!top.isFrozen || (top.openedId !== null && top.opened === null)) {
        const news = await read(producer, top, systemClock, signal);
        // What was asked for before a key has changed it is of no use.
        if (!signal.aborted) top = { ...top, ...news, selected: rowWithin(top.selected, news.items.length) };
      }
    } catch (error) {
      if (!signal.aborted) top = { ...top, problem: messageOf(error) };
    }
    terminal.draw();
    if (time === flags.count) return null;
    await sleep(systemClock, top.isFrozen ? FOREVER_MS : flags.delay, signal).catch(() => {});
  }
  return await Promise.race([signalled, Promise.resolve(null)]);
}
