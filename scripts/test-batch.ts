/** Imported first by a module that imports several test files: names the test that runs when their time is over. */
import { after, beforeEach } from 'node:test';
import { nowRunning } from './time-limit.ts';

beforeEach(({ fullName }) => nowRunning(`in ${fullName}`));
after(() => nowRunning('after the last test'));
