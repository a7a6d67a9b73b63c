/** Loaded before each of many test files (`npm test`). */
import { startThreadsFromBundles } from './test-threads.ts';

startThreadsFromBundles();
