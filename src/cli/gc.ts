import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import {
  collectGarbage,
  type GarbageFolder,
  type GarbageReport,
  IncorrectUsageError,
  type Logger,
  type ObjectStoreOptions,
  ProducerClient,
} from '../producer/index.ts';
import type { Io } from './io.ts';
import { bytesText, counted, oneLine, toJson } from './text.ts';
import { flag, queueUrls, readDuration, type TlsFlags, textPair, tlsFlags } from './values.ts';

interface GcFlags extends TlsFlags {
  readonly objectStore: string;
  readonly objectStoreOption?: ReadonlyMap<string, string>;
  readonly objectStoreOptionsFile?: string;
  readonly url: readonly string[];
  readonly olderThan: number;
  readonly delete?: boolean;
  readonly json?: boolean;
}

const HOUR_MS = 3_600_000;
/** A queue that is not there when it begins is said soon; one that goes away in the middle may come back. */
const FIRST_REQUEST_TIMEOUT_MS = 5_000;

/** `opsqueue gc`: chunk bodies that no queue knows. */
export function gcCommand(io: Io): Command {
  const command = new Command('gc')
    .description('find chunks in an object store whose submission no queue knows; with --delete remove them')
    .addOption(
      flag('--object-store <url>', 'where the chunks are, as the clients name it').makeOptionMandatory(),
    )
    .addOption(
      flag(
        '--url <url>',
        'a queue that uses this object store: host:port, or http(s)://...; repeat it for every such queue',
        queueUrls,
      ).makeOptionMandatory(),
    )
    .addOption(
      flag(
        '--older-than <duration>',
        'only folders that were not written to for this time; at least 1 hour',
        readDuration(HOUR_MS),
      ).makeOptionMandatory(),
    )
    .option('--delete', 'delete what is found; without it nothing is changed')
    .addOption(
      flag('--object-store-option <name=value>', 'such as aws_region=eu-west-1; repeatable', textPair),
    )
    .addOption(flag('--object-store-options-file <path>', 'a JSON object of such options, for secrets'))
    .option('--json', 'print an object for each submission, then one with the counts')
    .allowExcessArguments(false)
    .addHelpText('after', HELP_AFTER)
    .action((flags: GcFlags) => gc(flags, io));
  for (const option of tlsFlags()) command.addOption(option);
  return command;
}

const HELP_AFTER = `
Name EVERY queue that shares the object store and its base path, with one --url each: what one of them knows, in any
state, is never touched, but the submissions of a queue that is not named look like garbage. If one of them does not
answer, nothing is deleted.

Looked at are only folders that are named by a UUID v7 and hold nothing but chunks; the age of one is that of its
newest object. Submissions that were uploaded and never inserted are found too: --older-than must be longer than the
longest upload takes, and than any pause between an upload and its insert.

Examples:
  opsqueue gc --object-store s3://bucket/chunks --url queue:3999 --older-than 7d
  opsqueue gc --object-store gs://bucket/chunks --url one:3999 --url two:3999 --older-than '2 weeks' --delete`;

async function gc(flags: GcFlags, io: Io): Promise<void> {
  const objectStoreOptions = await optionsOf(flags);
  await askFirst(flags, objectStoreOptions);
  const report = await collectGarbage({
    objectStore: flags.objectStore,
    objectStoreOptions,
    queueUrls: flags.url,
    olderThanMs: flags.olderThan,
    ca: flags.ca,
    cert: flags.cert,
    key: flags.key,
    delete: flags.delete === true,
    logger: warnings(io),
    onFolder: (folder) =>
      io.stdout.write(flags.json ? `${toJson(folderJson(folder))}\n` : folderText(folder)),
  });
  io.stdout.write(flags.json ? `${toJson(reportJson(report))}\n` : reportText(report, flags.delete === true));
}

/** Asks every queue once, so that one that is missing, or wrong usage, is reported before anything else is done. */
async function askFirst(flags: GcFlags, objectStoreOptions: ObjectStoreOptions): Promise<void> {
  await using clients = new AsyncDisposableStack();
  const { ca, cert, key } = flags;
  const impatient = {
    requestTimeoutMs: FIRST_REQUEST_TIMEOUT_MS,
    retryForMs: 0,
    objectStoreOptions,
    logger: null,
    ca,
    cert,
    key,
  };
  const queues = flags.url.map((url) => clients.use(new ProducerClient(url, flags.objectStore, impatient)));
  for (const queue of queues) await queue.knownPrefixes([]);
}

async function optionsOf(flags: GcFlags): Promise<ObjectStoreOptions> {
  const given = Object.fromEntries(flags.objectStoreOption ?? []);
  const path = flags.objectStoreOptionsFile;
  if (path === undefined) return given;
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    // The parser's message would show what is in the file.
    const why = cause instanceof SyntaxError ? 'it is not JSON' : String(cause);
    throw new IncorrectUsageError(`--object-store-options-file ${path}: ${why}`, { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new IncorrectUsageError(`--object-store-options-file ${path}: it is not a JSON object`);
  }
  return { ...parsed, ...given };
}

/** What is waited for goes to stderr; the rest of the log is for programs. */
function warnings(io: Io): Logger {
  const tell = (_fields: object, message: string) => io.stderr.write(`opsqueue: ${oneLine(message)}\n`);
  return { debug() {}, info() {}, warn: tell, error: tell };
}

function folderText({ prefix, objects, bytes, newestMs }: GarbageFolder): string {
  const newest = new Date(newestMs).toISOString().slice(0, 19);
  return `${prefix}  ${newest}Z  ${counted(objects, 'object')}, ${bytesText(bytes)}\n`;
}

function folderJson({ prefix, objects, bytes, newestMs }: GarbageFolder): object {
  return { prefix, objects, bytes, newest: new Date(newestMs).toISOString() };
}

function reportText(report: GarbageReport, deleted: boolean): string {
  const { folders, known, young, foreign, garbage, garbageObjects, garbageBytes, deletedObjects } = report;
  const found = `${garbage} of ${counted(folders, 'folder')} no queue knows: ${counted(garbageObjects, 'object')}, ${bytesText(garbageBytes)}`;
  const others = `kept: ${known} known to a queue, ${young} too young, ${foreign} not of opsqueue`;
  const done = deleted
    ? `deleted ${counted(deletedObjects, 'object')}`
    : garbage === 0
      ? 'nothing to delete'
      : 'nothing was deleted: --delete does';
  return `${found}\n${others}\n${done}\n`;
}

function reportJson(report: GarbageReport): object {
  return {
    folders: report.folders,
    known: report.known,
    young: report.young,
    foreign: report.foreign,
    garbage: report.garbage,
    garbage_objects: report.garbageObjects,
    garbage_bytes: report.garbageBytes,
    deleted_objects: report.deletedObjects,
  };
}
