/** Loaded before every test file (`npm test`): names the test that runs when nothing goes on any more. */
import { after, beforeEach } from 'node:test';
import { isMainThread } from 'node:worker_threads';
import { nowRunning } from './time-limit.ts';

// Not of programs that a test starts with the flags of its own process.
if (isMainThread && process.env.NODE_TEST_CONTEXT !== undefined) {
  beforeEach(({ fullName }) => nowRunning(`in ${fullName}`));
  after(() => nowRunning('after the last test'));
}
