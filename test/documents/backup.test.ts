import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { pragma } from '../../src/store/sqlite/file/inspect.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from '../../src/store/sqlite/tables/schema.ts';
import { ROOT } from '../support/processes.ts';
import { FileQueue } from '../support/queues/file-queue.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const page = readFileSync(join(ROOT, 'docs/backup.md'), 'utf8');

interface Places {
  readonly QUEUE_DB: string;
  readonly COPY: string;
  readonly PID?: string;
}

/** The commands of a section, by their order in it. */
function commands(section: string): ((places: Places) => void)[] {
  const text = page.split(/^## /m).find((each) => each.startsWith(`${section}\n`)) ?? '';
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map((match) => match[1]!);
  assert.ok(blocks.length > 0, `there are no commands under ${section}`);
  const PATH = `${dirname(process.execPath)}:${process.env.PATH}`;
  return blocks.map((block) => (places) => {
    execFileSync('sh', ['-euc', block], { env: { ...process.env, ...places, PATH }, stdio: 'pipe' });
  });
}

const [backUp] = commands('Back up');
const [moveAway, putCopy] = commands('Restore');
const [copyDescriptors, putBoth] = commands('Removed while the queue runs');

async function place(): Promise<Places & AsyncDisposable> {
  const folder = await temporaryFolder();
  const at = (name: string) => join(realpathSync(folder.path), name);
  return {
    QUEUE_DB: at('queue.db'),
    COPY: at('copy of it.db'),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

const needsSh = process.platform === 'win32' ? { skip: 'the commands are for a POSIX shell' } : {};
const needsProc = existsSync('/proc/self/fd') ? {} : { skip: 'there is no /proc' };

describe('docs/backup.md', { concurrency: 2, ...needsSh }, () => {
  for (const when of ['while the queue runs', 'after a clean stop', 'after a crash'] as const) {
    test(`a backup ${when} is restored after a crash`, async () => {
      await using places = await place();
      {
        await using queue = await FileQueue.start(places.QUEUE_DB);
        assert.equal(await queue.insert('before'), 200);
        if (when !== 'while the queue runs') {
          await queue.process.kill(when === 'after a crash' ? 'SIGKILL' : 'SIGTERM');
        }
        backUp!(places);
        assert.throws(() => backUp!(places), /exists|not empty|already/);
      }
      {
        await using queue = await FileQueue.start(places.QUEUE_DB);
        assert.equal(await queue.insert('after'), 200);
        await queue.process.kill('SIGKILL');
      }
      moveAway!(places);
      putCopy!(places);
      await using restored = await FileQueue.start(places.QUEUE_DB);
      assert.equal(await restored.has('before'), true);
      assert.equal(await restored.has('after'), false);
      assert.equal(await restored.insert('new'), 200);
    });
  }

  test('a database that was removed while the queue runs is rescued', needsProc, async () => {
    await using places = await place();
    await using queue = await FileQueue.start(places.QUEUE_DB);
    assert.equal(await queue.insert('before'), 200);
    for (const suffix of ['', '-wal', '-shm']) rmSync(places.QUEUE_DB + suffix);
    await queue.process.line(/the store takes no batches/);
    copyDescriptors!({ ...places, PID: String(queue.process.pid) });
    await queue.process.kill('SIGKILL');
    moveAway!(places);
    putBoth!(places);
    await using restored = await FileQueue.start(places.QUEUE_DB);
    assert.equal(await restored.has('before'), true);
  });

  test('an upgrade brings the tables to the new version; the copy is as it was', async () => {
    await using places = await place();
    {
      using old = new DatabaseSync(places.QUEUE_DB);
      old.exec(`PRAGMA journal_mode = WAL; ${MIGRATIONS[0]}`);
      old.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = 1`);
    }
    backUp!(places);
    await using queue = await FileQueue.start(places.QUEUE_DB);
    assert.equal(await queue.insert('new'), 200);
    const versionOf = (path: string) => {
      using database = new DatabaseSync(path, { readOnly: true });
      return pragma(database, 'user_version');
    };
    assert.equal(versionOf(places.QUEUE_DB), SCHEMA_VERSION);
    assert.equal(versionOf(places.COPY), 1);
  });
});
