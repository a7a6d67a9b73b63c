/**
 * The main job of the demo: every file below a folder is an operation, and its result is the file's size, SHA-256 and
 * gzip size. `npm run demo`, or `npm run demo -- FOLDER`.
 */
import { isDeepStrictEqual } from 'node:util';
import { ProducerClient, type Progress } from 'opsqueue/producer';
import { ProgressLine } from '../../src/cli/progress-line.ts';
import { grouped, rateText, timeText } from '../../src/cli/text.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { folderOf } from './arguments.ts';
import { type Checksum, checksum } from './checksum.ts';
import { type Found, filesBelow } from './files.ts';

const CHUNK_SIZE = 10;
const SAMPLE_SIZE = 20;

const folder = folderOf(process.argv.slice(2));
const producer = new ProducerClient<string, Checksum>(
  process.env.OPSQUEUE_URL ?? 'localhost:3999',
  process.env.OPSQUEUE_OBJECT_STORE ?? 'file:///tmp/opsqueue/checksum-tree/',
);
const found: Found = { files: 0, unreadable: [] };
const summary = { files: 0, failed: [] as string[], bytes: 0, gzipBytes: 0 };
const sample: Checksum[] = [];
const line = new ProgressLine(process.stdout, systemClock);

try {
  await main();
} catch (error) {
  line.finish();
  console.error(explain(error));
  process.exitCode = 1;
} finally {
  await producer.close();
}

async function main(): Promise<void> {
  const startMs = systemClock.monotonicMs();
  console.log(`files below ${folder}: size, SHA-256 and gzip size of each`);
  const results = producer.runSubmission(files(), { chunkSize: CHUNK_SIZE, onProgress: show });
  for await (const result of results) take(result);
  line.finish();
  const seconds = (systemClock.monotonicMs() - startMs) / 1000;
  if (summary.files !== found.files) throw new Error(`${found.files} files, but ${summary.files} results`);
  await checkSample();

  console.log(`files       ${grouped(summary.files)}`);
  console.log(`bytes       ${grouped(summary.bytes)} (${grouped(summary.gzipBytes)} with gzip)`);
  console.log(
    `chunks      ${grouped(Math.ceil(summary.files / CHUNK_SIZE))}, of up to ${CHUNK_SIZE} files each`,
  );
  console.log(
    `rate        ${rateText(summary.files / seconds)} operations/s, ${megabytes(summary.bytes / seconds)}/s`,
  );
  console.log(`time        ${timeText(seconds * 1000)}`);
  console.log(`checked     ${sample.length} results, picked at random, are what a direct computation gives`);
  for (const [what, paths] of [
    ['file', summary.failed],
    ['folder', found.unreadable],
  ] as const) {
    if (paths.length === 0) continue;
    console.log(
      `unreadable  ${grouped(paths.length)} ${what}${paths.length === 1 ? '' : 's'}, such as ${paths[0]}`,
    );
  }
}

/** The operations, told to the queue as they are found. */
async function* files(): AsyncGenerator<string, void> {
  yield* filesBelow(folder, found);
  if (found.files === 0) throw new Error(`there are no files below ${folder}`);
}

function show({ opsDone, perSecond, msLeft }: Progress): void {
  const total = found.files;
  line.show({ done: Math.min(opsDone ?? 0, total), total, unit: 'files', perSecond, msLeft });
}

/** Takes a result in; what is kept of it does not grow with their number. */
function take(result: Checksum): void {
  summary.files++;
  if ('error' in result) {
    summary.failed.push(result.path);
    return;
  }
  summary.bytes += result.size;
  summary.gzipBytes += result.gzipSize;
  // Every result is as likely to be in the sample as any other, however many come.
  const place = sample.length < SAMPLE_SIZE ? sample.length : Math.floor(Math.random() * summary.files);
  if (place < SAMPLE_SIZE) sample[place] = result;
}

async function checkSample(): Promise<void> {
  for (const result of sample) {
    const direct = await checksum(result.path);
    if (!isDeepStrictEqual({ ...result }, direct)) {
      throw new Error(`wrong result: ${JSON.stringify(result)}, directly ${JSON.stringify(direct)}`);
    }
  }
}

function megabytes(bytes: number): string {
  return `${rateText(bytes / 1e6)} MB`;
}

function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') return `the folder ${folder} cannot be read`;
  return message;
}
