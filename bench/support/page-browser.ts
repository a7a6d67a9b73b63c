/** The page in Chromium: what it asks for, how soon it has something to show, and what it keeps. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, CDPSession, Page } from 'playwright-core';
import { answerFrom } from '../../test/support/page/api-fixture.ts';
import type { Polled } from './page-readers.ts';

const VIEWPORT = { width: 1440, height: 900 };
const SECOND_MS = 1_000;

/** What the page asks for when a view is open, and how often: watched for that long. */
export async function watchRequests(
  browser: Browser,
  origin: string,
  view: string,
  ms: number,
): Promise<readonly Polled[]> {
  const page = await openPage(browser);
  /** Between an answer and the next request. */
  const pausesMs = new Map<string, number[]>();
  const answeredMs = new Map<string, number>();
  page.on('request', (request) => {
    const path = pathOf(request.url());
    if (path === null) return;
    const pauses = pausesMs.get(path) ?? [];
    pausesMs.set(path, pauses);
    const answered = answeredMs.get(path);
    if (answered !== undefined) pauses.push(performance.now() - answered);
  });
  page.on('requestfinished', (request) => {
    const path = pathOf(request.url());
    if (path !== null) answeredMs.set(path, performance.now());
  });
  await page.goto(`${origin}/#/${view}`);
  await sleep(ms);
  await page.context().close();
  return [...pausesMs].map(([path, pauses]) => ({
    path,
    everyMs: pauses.length === 0 ? ms : wholeSeconds(Math.min(...pauses)),
    isTail: path.startsWith('events?'),
  }));
}

/** What is asked for; null: nothing of the API. A request that goes on where the last answer ended is the same one all the same. */
function pathOf(url: string): string | null {
  const [, path] = /\/api\/v1\/(.*)$/.exec(url) ?? [];
  return path === undefined ? null : path.replace(/&after=[^&]*/, '');
}

/** The page waits for whole seconds. */
function wholeSeconds(ms: number): number {
  return Math.max(1, Math.round(ms / SECOND_MS)) * SECOND_MS;
}

export interface FirstData {
  /** From the beginning of the navigation until all that the view shows is there. */
  readonly ms: number;
  /** What the browser's tasks above 50 ms took, from then on as well. */
  readonly longTasksMs: readonly number[];
  /** The most processor time of a task: what it would take where nobody else is at work. */
  readonly longestTaskCpuMs: number;
}

/**
 * Opens a view in a browser that has never seen the page, and watches it for a while.
 *
 * @param shows selectors of what has to be there
 */
export async function firstData(
  browser: Browser,
  origin: string,
  view: string,
  shows: readonly string[],
  watchedMs: number,
): Promise<FirstData> {
  const page = await openPage(browser);
  await page.addInitScript(`
    performance.mark(${JSON.stringify(MARK)});
    globalThis.benchTasks = [];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) benchTasks.push(duration);
    }).observe({ type: 'longtask', buffered: true });
    const look = () => {
      const isThere = (selector) => document.querySelector(selector) !== null;
      const isWaiting = isThere('[aria-busy], .empty-why');
      if (!isWaiting && ${JSON.stringify(shows)}.every(isThere)) globalThis.benchFirstMs = performance.now();
      else requestAnimationFrame(look);
    };
    look();
  `);
  await browser.startTracing(page, { categories: ['toplevel', 'blink.user_timing'] });
  await page.goto(`${origin}/#/${view}`);
  let ms: number | undefined;
  while (ms === undefined) {
    await sleep(50);
    ms = await page.evaluate<number | undefined>('globalThis.benchFirstMs');
  }
  await sleep(watchedMs);
  const trace = await browser.stopTracing();
  const longTasksMs = await page.evaluate<number[]>('globalThis.benchTasks');
  await page.context().close();
  return { ms, longTasksMs, longestTaskCpuMs: longestTaskCpuMs(trace) };
}

/** What the threads of Chromium do, one after the other. */
const TASK = 'ThreadControllerImpl::RunTask';
/** What the page's own thread says at the beginning: there are others, of pages that are gone or not yet there. */
const MARK = 'opsqueue-bench';

interface Trace {
  readonly traceEvents: readonly {
    readonly name: string;
    readonly pid: number;
    readonly tid: number;
    /** Processor time, in microseconds. */
    readonly tdur?: number;
  }[];
}

/** Of the thread that runs the page. */
function longestTaskCpuMs(trace: Buffer): number {
  const { traceEvents } = JSON.parse(trace.toString()) as Trace;
  const threadOf = ({ pid, tid }: Trace['traceEvents'][number]) => `${pid} ${tid}`;
  const ofPage = new Set(traceEvents.filter(({ name }) => name === MARK).map((event) => threadOf(event)));
  let longest = 0;
  for (const event of traceEvents) {
    if (event.name === TASK && ofPage.has(threadOf(event)))
      longest = Math.max(longest, (event.tdur ?? 0) / 1_000);
  }
  return longest;
}

/** Of the page, after a collection. */
export interface PageHeap {
  readonly bytes: number;
  readonly nodes: number;
  readonly listeners: number;
}

export interface Aged {
  readonly before: PageHeap;
  readonly after: PageHeap;
  /** Answers that came in between. */
  readonly answers: number;
}

/** Until everything is there once, and what a browser optimizes is optimized. */
const WARM_UP_SECONDS = 120;

/**
 * A view that is open for so many seconds, by a clock that the bench moves on: each second it shows what was answered, and asks again. The answers
 * are made up, each of a second later than the one before.
 */
export async function aged(browser: Browser, origin: string, view: string, seconds: number): Promise<Aged> {
  const page = await openPage(browser);
  const startedMs = Date.now();
  let passed = 0;
  await page.clock.install({ time: startedMs });
  await answerFrom(page, {
    get nowMs() {
      return startedMs + passed * SECOND_MS;
    },
    get prefix() {
      return `batch-${passed}`;
    },
  });
  let pending = 0;
  let answers = 0;
  page.on('request', () => pending++);
  const answered = () => {
    pending--;
    answers++;
  };
  page.on('requestfinished', answered);
  page.on('requestfailed', answered);
  const pass = async (count: number) => {
    for (const until = passed + count; passed < until; passed++) {
      await page.clock.runFor(SECOND_MS);
      while (pending > 0) await sleep(1);
    }
  };
  const debug = await page.context().newCDPSession(page);
  await page.goto(`${origin}/#/${view}`);
  await pass(WARM_UP_SECONDS);
  const before = await heapOf(debug);
  const answersBefore = answers;
  await pass(seconds);
  const after = await heapOf(debug);
  await page.context().close();
  return { before, after, answers: answers - answersBefore };
}

async function heapOf(debug: CDPSession): Promise<PageHeap> {
  // The first one leaves what waits for its finalizer.
  for (let i = 0; i < 2; i++) await debug.send('HeapProfiler.collectGarbage');
  const { usedSize } = await debug.send('Runtime.getHeapUsage');
  const { nodes, jsEventListeners } = await debug.send('Memory.getDOMCounters');
  return { bytes: usedSize, nodes, listeners: jsEventListeners };
}

async function openPage(browser: Browser): Promise<Page> {
  const context = await browser.newContext({ viewport: VIEWPORT });
  return context.newPage();
}
