/**
 * `npm run example -- NAME [ARGUMENTS]`: runs the producer of an example against a queue of its own (on a free port,
 * with everything in a temporary folder) and several consumer processes, and clears all of it away again. With `--stay`
 * queue and consumers stay until Ctrl-C, so that the queue's page can be looked at.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Children } from './support/children.ts';

// Before anything else, so that there is no moment at which Ctrl-C would leave something behind.
const interrupted = Promise.withResolvers<NodeJS.Signals>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.resolve(signal));

const here = fileURLToPath(new URL('.', import.meta.url));
const [name = '', ...given] = process.argv.slice(2);
const args = given.filter((each) => each !== '--stay');
const stays = args.length < given.length;
if (!/^[\w-]+$/.test(name) || !existsSync(join(here, name, 'producer.ts'))) {
  const names = readdirSync(here).filter((folder) => existsSync(join(here, folder, 'producer.ts')));
  console.error(`usage: npm run example -- NAME [--stay] [ARGUMENTS]\nexamples: ${names.join(', ')}`);
  process.exit(2);
}

const problem = await problemOfArguments();
if (problem !== null) {
  console.error(problem);
  process.exit(problem.startsWith('usage') ? 2 : 1);
}

const consumers = Math.min(Math.max(availableParallelism(), 2), 8);
const folder = await mkdtemp(join(tmpdir(), `opsqueue-${name}-`));
const children = new Children();
let ending: NodeJS.Signals | number;
try {
  ending = await Promise.race([work(), children.broken, interrupted.promise]);
} catch (error) {
  console.error(`\n${error instanceof Error ? error.message : error}`);
  ending = 1;
}
if (typeof ending !== 'number') console.error('\ninterrupted; everything is ended and cleared away');
await children.end();
for (const path of [folder, chunksFolderOf(folder)]) await rm(path, { recursive: true, force: true });
if (typeof ending === 'number') process.exit(ending);

// Ends as an interrupted program does, so that whoever started it sees it.
for (const signal of ['SIGINT', 'SIGTERM']) process.removeAllListeners(signal);
process.kill(process.pid, ending);

/** An example may look at its arguments before anything is started. */
async function problemOfArguments(): Promise<string | null> {
  const file = join(here, name, 'arguments.ts');
  if (!existsSync(file)) return null;
  const { problemOf } = (await import(pathToFileURL(file).href)) as {
    problemOf(args: readonly string[]): string | null;
  };
  return problemOf(args);
}

async function work(): Promise<number> {
  const port = await children.startQueue(join(folder, 'opsqueue.db'));
  const env = {
    OPSQUEUE_URL: `localhost:${port}`,
    OPSQUEUE_OBJECT_STORE: pathToFileURL(join(folder, 'chunks/')).href,
  };
  const page = `http://localhost:${port}/`;
  console.log(`a queue with its page at ${page}, ${consumers} consumers, everything in ${folder}`);
  for (let i = 1; i <= consumers; i++) {
    children.start(`consumer ${i}`, [join(here, name, 'consumer.ts'), String(i), ...args], { env });
  }
  const code = await children.run('the producer', [join(here, name, 'producer.ts'), ...args], { env });
  if (!stays || code !== 0) return code;
  console.log(`\nthe queue stays, with its page at ${page}; Ctrl-C ends it`);
  return new Promise<never>(() => {});
}

/** Where a `file:` store keeps chunks below a folder: names on disk are percent-encoded, see docs/object-stores.md. */
function chunksFolderOf(path: string): string {
  return path.replace(/[^\x20-\x7e]|[\\{^}%`\]">[~<#|*?]/gu, (character) =>
    Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(
      '',
    ),
  );
}
