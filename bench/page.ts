/**
 * What the page costs: the queue while pages are open, and whoever looks at one.
 *
 *     npm run bench -- page [--json] [--quick] [--rounds N] [--only idle|drain|first|hour|map]
 *
 * A queue with 100 000 open submissions and one of ten million chunks, half of them done in random order; needs Chromium.
 * idle: processor time of the queue's main thread with nothing else to do, in turns without a page and with ten of them. drain: chunks per second as fast as it goes, then what a reservation takes, and the
 * main thread, while 10 000 chunks per second are drained; in turns without a page, with ten of them, and with nine and one in Chromium. Each of the others asks for what the real page was seen to ask for in one of its views, as often.
 * first: how long a browser that has never seen the page waits for what a view shows, and its tasks above 50 ms in the seconds after.
 * hour: what the page's heap has grown by after 3 600 seconds, by a clock that the bench moves on. map: the map of the ten million chunks, as the queue computes it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { submissionId } from '../test/support/page/answers.ts';
import { findBrowser, launchBrowser } from '../test/support/page/browser.ts';
import { benchArguments } from './support/arguments.ts';
import { mapInSlices } from './support/map-slices.ts';
import { MEMORY_REPORT_FLAGS, usedBytes } from './support/memory-report.ts';
import { aged, firstData, watchRequests } from './support/page-browser.ts';
import { openReaders, type Polled, type ReadFigures } from './support/page-readers.ts';
import { halfDoneInRandomOrder, openSubmissions, prepareStore } from './support/prepared-store.ts';
import { MB, median, percentile, type Row, report } from './support/report.ts';
import { startReservationProbe } from './support/reservation-probe.ts';
import { type MeasuredServer, mainThreadCpuSeconds, startOurs } from './support/server-process.ts';
import { SteadyDrain } from './support/steady-drain.ts';

const { json, quick, rounds: roundsGiven, only } = benchArguments();
const rounds = roundsGiven > 1 ? roundsGiven : quick ? 1 : 7;
const SUBMISSIONS = quick ? 10_000 : 100_000;
const CHUNKS_EACH = 10_000;
const CHUNKS_OF_LARGEST = 10_000_000;
const DRAIN_MS = quick ? 1_000 : 3_000;
const PACE = 10_000;
const WATCHED_MS = quick ? 6_000 : 12_000;
const HOUR_SECONDS = quick ? 360 : 3_600;
const STRATEGY = 'Oldest';

const wants = (part: string) => only === null || only === part;

async function withQueue(run: (server: MeasuredServer, largest: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  await prepareStore(
    folder,
    openSubmissions(SUBMISSIONS, CHUNKS_EACH),
    halfDoneInRandomOrder(CHUNKS_OF_LARGEST),
  );
  const server = await startOurs({ folder, nodeFlags: MEMORY_REPORT_FLAGS });
  try {
    const newest = await fetch(`${originOf(server)}/api/v1/submissions?limit=1`);
    const { items } = (await newest.json()) as {
      items: readonly { id: string; chunks: { total: number } }[];
    };
    if (items[0]?.chunks.total !== CHUNKS_OF_LARGEST)
      throw new Error('the newest submission is not the largest');
    await run(server, items[0].id);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

function originOf({ host, port }: MeasuredServer): string {
  return `http://${host}:${port}`;
}

/** What ten people look at. */
const viewsOf = (largest: string) => [
  ...['', '', '', 'submissions', 'submissions', `submissions/${largest}`, `submissions/${largest}`],
  ...['consumers', 'values', 'failures'],
];

const CASES = ['none', 'ten', 'nine and one in Chromium'] as const;
type Case = (typeof CASES)[number];

interface CaseFigures {
  readonly rates: number[];
  readonly cpuUs: number[];
  readonly p50: number[];
  readonly p99: number[];
  /** Of the queue's main thread, at a pace. */
  readonly cpuShares: number[];
  readonly residentMB: number[];
}

/** What each of ten pages asks for. */
async function pagesOf(
  server: MeasuredServer,
  browser: Browser,
  largest: string,
): Promise<readonly (readonly Polled[])[]> {
  const views = viewsOf(largest);
  const asked = new Map<string, readonly Polled[]>();
  await Promise.all(
    [...new Set(views)].map(async (view) => {
      asked.set(view, await watchRequests(browser, originOf(server), view, WATCHED_MS));
    }),
  );
  console.error(
    [...asked].map(([view, polled]) => `#/${view}: ${polled.map(wordsOf).join(', ')}`).join('\n'),
  );
  return views.map((view) => asked.get(view)!);
}

async function idlePart(
  server: MeasuredServer,
  browser: Browser,
  pages: readonly (readonly Polled[])[],
): Promise<void> {
  const shares = { none: [] as number[], ten: [] as number[] };
  const usedBefore = await usedBytes(server.pid!);
  let used = usedBefore;
  let read: ReadFigures | null = null;
  for (let round = 0; round < rounds; round++) {
    for (const which of ['none', 'ten'] as const) {
      const close = await openPages(server, browser, which, pages);
      shares[which].push(await idleCpuShare(server));
      if (which === 'ten') used = await usedBytes(server.pid!);
      read = (await close()) ?? read;
    }
  }
  const percents = (of: readonly number[]) => of.map((share) => (share * 100).toFixed(2)).join(' ');
  report(
    'The queue with nothing else to do',
    [
      {
        'CPU of its main thread without pages, %': median(shares.none) * 100,
        'with ten, %': median(shares.ten) * 100,
        rounds: `${percents(shares.none)} | ${percents(shares.ten)}`,
        'memory in use, MB more than before there were pages': (used - usedBefore) / MB,
        'answers in the last round': read!.answers,
        'of these 304': read!.unchanged,
        refused: read!.refused,
        kB: read!.bytes / 1_000,
      },
    ],
    json,
  );
}

async function drainPart(
  server: MeasuredServer,
  browser: Browser,
  pages: readonly (readonly Polled[])[],
): Promise<void> {
  const drain = await SteadyDrain.connect(server, { connections: 8, reservations: 4, strategy: STRATEGY });
  // Warm before anything is compared.
  await drain.fast(DRAIN_MS);
  const figures = new Map<Case, CaseFigures>(
    CASES.map((each) => [each, { rates: [], cpuUs: [], p50: [], p99: [], cpuShares: [], residentMB: [] }]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const each of round % 2 === 0 ? CASES : CASES.toReversed()) {
      const of = figures.get(each)!;
      const close = await openPages(server, browser, each, pages);
      const fast = await drain.fast(DRAIN_MS);
      const { tookMs, cpuShare } = await atPace(server, drain);
      of.residentMB.push(server.residentBytes()! / MB);
      await close();
      of.rates.push(fast.rate);
      of.cpuUs.push(fast.cpuUs);
      of.p50.push(percentile(tookMs, 0.5));
      of.p99.push(percentile(tookMs, 0.99));
      of.cpuShares.push(cpuShare);
    }
  }
  drain.close();
  const none = figures.get('none')!;
  report(
    `Ten pages open, ${SUBMISSIONS} open submissions; medians of ${rounds} rounds`,
    CASES.map((each) => rowOf(each, figures.get(each)!, none)),
    json,
  );
}

function wordsOf({ path, everyMs }: Polled): string {
  return `${path} every ${everyMs / 1_000} s`;
}

async function openPages(
  server: MeasuredServer,
  browser: Browser,
  which: Case,
  pages: readonly (readonly Polled[])[],
): Promise<() => Promise<ReadFigures | null>> {
  if (which === 'none') return async () => null;
  if (which === 'ten') {
    const readers = openReaders(server, pages);
    return () => readers.stop();
  }
  const readers = openReaders(server, pages.slice(1));
  const page = await browser.newPage();
  await page.goto(`${originOf(server)}/`);
  return async () => {
    await page.close();
    return readers.stop();
  };
}

/** While others drain at a pace: the lengths of reservations, ascending, and the share of a core that the main thread takes. */
async function atPace(server: MeasuredServer, drain: SteadyDrain) {
  const probe = startReservationProbe(server, STRATEGY);
  let tookMs: number[] = [];
  let cpuShare = 0;
  await drain.paced(PACE, DRAIN_MS, async () => {
    cpuShare = await cpuShareOf(server, DRAIN_MS);
    tookMs = await probe.stop();
  });
  return { tookMs: tookMs.sort((a, b) => a - b), cpuShare };
}

async function idleCpuShare(server: MeasuredServer): Promise<number> {
  await sleep(2_000);
  return cpuShareOf(server, DRAIN_MS);
}

async function cpuShareOf(server: MeasuredServer, forMs: number): Promise<number> {
  const [cpu, began] = [mainThreadCpuSeconds(server.pid!), performance.now()];
  await sleep(forMs);
  return (mainThreadCpuSeconds(server.pid!) - cpu) / ((performance.now() - began) / 1000);
}

function rowOf(name: Case, figures: CaseFigures, none: CaseFigures): Row {
  const { rates, cpuUs, p50, p99, cpuShares, residentMB } = figures;
  const paired = (own: readonly number[], others: readonly number[]) =>
    median(own.map((value, round) => value / others[round]! - 1)) * 100;
  return {
    pages: name,
    'chunks/s': median(rates),
    'least and most': `${Math.round(Math.min(...rates))} ${Math.round(Math.max(...rates))}`,
    'against none, %': paired(rates, none.rates),
    'CPU us/chunk': median(cpuUs),
    spread: `${Math.min(...cpuUs).toFixed(2)} ${Math.max(...cpuUs).toFixed(2)}`,
    'more CPU, %': paired(cpuUs, none.cpuUs),
    'CPU at a pace, % of a core': median(cpuShares) * 100,
    'more at a pace, % of a core':
      median(cpuShares.map((share, round) => share - none.cpuShares[round]!)) * 100,
    'reservation p50 ms': median(p50),
    'p99 ms': median(p99),
    'p99 spread': `${Math.min(...p99).toFixed(2)} ${Math.max(...p99).toFixed(2)}`,
    'resident MB': median(residentMB),
  };
}

/** Of a made-up queue. */
const HOUR_VIEWS = [
  ['overview', ''],
  ['submissions', 'submissions'],
  ['a submission', `submissions/${submissionId(0)}`],
] as const;

/** Views, with what has to be there before somebody sees what they came for. */
const firstViews = (largest: string): readonly (readonly [string, string, readonly string[]])[] => [
  ['overview', '', ['.figure', '.plot canvas', '.why', '[aria-label=Events] td']],
  ['submissions', 'submissions', ['main table tbody tr']],
  ['the largest submission', `submissions/${largest}`, ['.figure', '.why', '.map canvas']],
  ['consumers', 'consumers', ['main table tbody tr']],
  ['fairness', 'values', ['main table tbody tr']],
];

async function firstPart(server: MeasuredServer, browser: Browser, largest: string): Promise<void> {
  const drain = await SteadyDrain.connect(server, { connections: 8, reservations: 1, strategy: STRATEGY });
  const rows: Row[] = [];
  const watchedMs = quick ? 2_000 : 5_000;
  for (const [name, view, shows] of firstViews(largest)) {
    const seen: number[] = [];
    const tasks: number[] = [];
    let longestCpuMs = 0;
    for (let round = 0; round < Math.min(rounds, 5); round++) {
      await drain.paced(PACE / 10, 0, async () => {
        const first = await firstData(browser, originOf(server), view, shows, watchedMs);
        seen.push(first.ms);
        tasks.push(...first.longTasksMs);
        longestCpuMs = Math.max(longestCpuMs, first.longestTaskCpuMs);
      });
    }
    rows.push({
      view: name,
      'first data ms': median(seen),
      'longest ms': Math.max(...seen),
      'tasks above 50 ms': tasks.length,
      'the longest ms': tasks.length === 0 ? null : Math.max(...tasks),
      'CPU of a task at most, ms': longestCpuMs,
    });
  }
  drain.close();
  report('First data on a page, in a browser that has not seen it', rows, json);
}

async function hourPart(server: MeasuredServer, browser: Browser): Promise<void> {
  const rows = await Promise.all(
    HOUR_VIEWS.map(async ([name, view]): Promise<Row> => {
      const { before, after, answers } = await aged(browser, originOf(server), view, HOUR_SECONDS);
      return {
        view: name,
        answers,
        'heap MB': before.bytes / MB,
        'MB more': (after.bytes - before.bytes) / MB,
        nodes: before.nodes,
        'more nodes': after.nodes - before.nodes,
        listeners: before.listeners,
        'more listeners': after.listeners - before.listeners,
      };
    }),
  );
  report(`The heap of the page after ${HOUR_SECONDS} seconds`, rows, json);
}

function mapPart(): void {
  const { tookMs, slices } = mapInSlices(CHUNKS_OF_LARGEST, rounds);
  report(
    'The map of ten million chunks, half of them done in random order',
    [
      {
        'ms in all': median(tookMs),
        'at most': Math.max(...tookMs),
        slices: median(slices.map((each) => each.length)),
        'longest slice ms': median(slices.map((each) => Math.max(...each))),
        'of all rounds': Math.max(...slices.flat()),
      },
    ],
    json,
  );
}

if (wants('map')) mapPart();
if (['idle', 'drain', 'first', 'hour'].some(wants)) {
  const file = findBrowser();
  if (file === null) throw new Error('this bench needs Chromium');
  const browser = await launchBrowser(file);
  try {
    await withQueue(async (server, largest) => {
      if (wants('idle') || wants('drain')) {
        const pages = await pagesOf(server, browser, largest);
        if (wants('idle')) await idlePart(server, browser, pages);
        if (wants('drain')) await drainPart(server, browser, pages);
      }
      if (wants('first')) await firstPart(server, browser, largest);
      if (wants('hour')) await hourPart(server, browser);
    });
  } finally {
    await browser.close();
  }
}
