import type { Page } from 'playwright-core';
import { submissionId } from './answers.ts';

/** Each view, with what shows that it is there. */
export const VIEWS = [
  ['', 'Needs attention'],
  ['submissions', 'Submissions'],
  [`submissions/${submissionId(0)}`, 'Held longest'],
  [`submissions/${submissionId(2)}`, 'Paused by'],
  [`submissions/${submissionId(0)}/chunks`, 'Last failure'],
  ['consumers', 'Set back/min'],
  ['consumers?group=strategy', 'prefer-distinct'],
  ['consumers/c-3', 'Holds 12 chunks'],
  ['values', 'Share in flight'],
  ['failures', 'TypeError'],
  ['failures?group=none', 'last try'],
  ['queue', 'Settings in force'],
  ['events', 'Details'],
  ['nothing/here', 'Nothing is here'],
] as const;

/** Everything that the view asks for is there. */
export async function viewLoaded(page: Page): Promise<void> {
  await page.locator('body:not(:has([aria-busy])) main h1').first().waitFor({ state: 'attached' });
}
