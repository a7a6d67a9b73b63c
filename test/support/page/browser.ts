import assert from 'node:assert/strict';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { ROOT } from '../processes.ts';

/** The first is Chromium without its own window, which takes half the time. */
const NAMES = [
  'chromium-headless-shell',
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
];
/** Where the browser is, if it is not in the path; once it is given, there has to be one. */
const VARIABLE = 'OPSQUEUE_TEST_CHROMIUM';

/** The file of a browser, or null with a line that tells how to get one. */
export function findBrowser(): string | null {
  const given = process.env[VARIABLE] ?? '';
  const folders = (process.env.PATH ?? '').split(delimiter);
  const files = given === '' ? folders.flatMap((folder) => NAMES.map((name) => join(folder, name))) : [given];
  const found = files.find((file) => isExecutable(file));
  if (found !== undefined) return found;
  if (given !== '') throw new Error(`${VARIABLE}: ${given} cannot be run`);
  console.error(
    `NO BROWSER: the page is not tested. Install Chromium (apt-get install chromium-headless-shell, or chromium), or give its file in ${VARIABLE}`,
  );
  return null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function launchBrowser(file: string): Promise<Browser> {
  const isRoot = process.getuid?.() === 0;
  const args = ['--disable-gpu', '--disable-dev-shm-usage', ...(isRoot ? ['--no-sandbox'] : [])];
  return chromium.launch({ executablePath: file, args });
}

export type Theme = 'light' | 'dark';

export interface Look {
  readonly width: number;
  readonly theme: Theme;
}

export const WIDTHS = [360, 768, 1440];
function sizeOf({ width }: Look) {
  return { width, height: width < 600 ? 780 : 900 };
}

const PAINTED = 'new Promise((end) => requestAnimationFrame(() => requestAnimationFrame(end)))';
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const axeSource = readFileSync(join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8');

/** A page of the browser, and all that must not happen on it. */
export class WatchedPage implements AsyncDisposable {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What went wrong: errors, complaints of the policy, requests to others. */
  readonly complaints: string[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
  }

  static async open(browser: Browser, origin: string, look: Look): Promise<WatchedPage> {
    const context = await browser.newContext({
      viewport: sizeOf(look),
      colorScheme: look.theme,
      reducedMotion: 'reduce',
      timezoneId: 'Europe/Amsterdam',
    });
    const page = await context.newPage();
    const watched = new WatchedPage(context, page);
    const { complaints } = watched;
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        complaints.push(`console: ${message.text()}`);
    });
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith(`${origin}/`) && !url.startsWith('data:'))
        complaints.push(`foreign request: ${url}`);
    });
    page.on('dialog', (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.addInitScript(
      "document.addEventListener('securitypolicyviolation', (event) => console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample))",
    );
    return watched;
  }

  /** Changes what the page is looked at with, in place. */
  async show(look: Look): Promise<void> {
    const size = sizeOf(look);
    const { width } = this.page.viewportSize() ?? { width: 0 };
    if (width !== size.width) await this.page.setViewportSize(size);
    await this.page.emulateMedia({ colorScheme: look.theme });
    // Plots and the map are drawn again once they have been measured.
    await this.page.evaluate(PAINTED);
  }

  /**
   * What axe finds, as sentences.
   *
   * @param rules null: all that WCAG 2.2 AA and good practice ask for
   * @param of a selector; default: the whole document
   */
  async axe(rules: readonly string[] | null, of: string | null = null): Promise<string[]> {
    // By the debugger's way in: the page's own policy lets no other script be added.
    const isThere = await this.page.evaluate<boolean>("'axe' in globalThis");
    if (!isThere) await this.page.evaluate(axeSource);
    const runOnly = rules === null ? { type: 'tag', values: AXE_TAGS } : { type: 'rule', values: rules };
    // Paths to elements, and style sheets that are fetched again, are for what is not asked here.
    const options = { runOnly, resultTypes: ['violations'], selectors: false, preload: false };
    const { violations } = await this.page.evaluate<AxeResults>(
      `axe.run(${of === null ? 'document' : JSON.stringify(of)}, ${JSON.stringify(options)})`,
    );
    return violations.flatMap(({ id, help, nodes }) =>
      nodes
        .slice(0, 3)
        .map(({ html, failureSummary }) => `${id}: ${help}: ${html.slice(0, 160)} ${failureSummary}`),
    );
  }

  assertQuiet(): void {
    assert.deepEqual(this.complaints, []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
  }
}

interface AxeResults {
  readonly violations: readonly {
    readonly id: string;
    readonly help: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
  }[];
}
