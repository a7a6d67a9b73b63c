import assert from 'node:assert/strict';
import { after, before, suite } from 'node:test';
import type { Browser, Locator, Page } from 'playwright-core';
import { TestServer } from '../queues/test-server.ts';
import { findBrowser, type Look, launchBrowser, WatchedPage } from './browser.ts';

const WIDE: Look = { width: 1440, theme: 'light' };

let shared: Promise<Browser> | null = null;

/** One browser for all files that share this process. */
export function sharedBrowser(file: string): Promise<Browser> {
  shared ??= launchBrowser(file);
  return shared;
}

// Of the process, not of a suite.
after(async () => {
  await (await shared)?.close();
});

/** A browser, and a server whose page is looked at in it. */
export class PageScene {
  #browser: Browser | null = null;
  #server: TestServer | null = null;

  async start(file: string): Promise<void> {
    [this.#browser, this.#server] = await Promise.all([sharedBrowser(file), TestServer.start()]);
  }

  async stop(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#server?.port}`;
  }

  open(look: Look = WIDE): Promise<WatchedPage> {
    return WatchedPage.open(this.#browser!, this.origin, look);
  }
}

/** Tests that share a scene; where there is no browser they are skipped, which a line says. */
export function pageSuite(
  name: string,
  options: { readonly concurrency?: number },
  define: (scene: PageScene) => void,
): void {
  const file = findBrowser();
  suite(name, { ...options, skip: file === null ? 'there is no browser' : false }, () => {
    const scene = new PageScene();
    before(() => scene.start(file ?? ''));
    after(() => scene.stop());
    define(scene);
  });
}

/** Goes to a view without loading the page anew. */
export function goTo(page: Page, hash: string): Promise<void> {
  return page.evaluate(`void (location.hash = ${JSON.stringify(`#/${hash}`)})`);
}

/** That the page comes to be at that place; it goes there a moment after a click. */
export function at(page: Page, hash: string): Promise<void> {
  return page.waitForURL((url) => url.hash === hash);
}

/** That so many of these come to be there, and no more: the page draws a moment after a click or an answer. */
export async function there(these: Locator, count: number): Promise<void> {
  await these.nth(count - 1).waitFor({ state: 'attached' });
  assert.equal(await these.count(), count);
}
