import assert from 'node:assert/strict';
import { copyFileSync, cpSync, linkSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { after, describe, test } from 'node:test';
import { StoreError } from '../../../src/store/errors.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { FileQueue } from '../../support/queues/file-queue.ts';
import { fileDigest } from '../../support/store/file-digest.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

interface Crashed extends AsyncDisposable {
  readonly folder: string;
  readonly file: string;
  copyAt(way: CopyWay): string;
}

type CopyWay = 'VACUUM INTO' | '.backup' | 'two starts ago' | 'before the last start';

const COPIES: Readonly<Record<CopyWay, string>> = {
  'two starts ago': 'first.copy',
  'before the last start': 'second.copy',
  'VACUUM INTO': 'vacuum.copy',
  '.backup': 'backup.copy',
};

/** A queue that was stopped twice, started again, copied, and killed: its file and its log belong together. */
async function crash(folder: string): Promise<void> {
  const file = join(folder, 'queue.db');
  const copyAt = (way: CopyWay) => join(folder, COPIES[way]);
  for (const [prefix, way] of [
    ['first', 'two starts ago'],
    ['second', 'before the last start'],
  ] as const) {
    await using queue = await FileQueue.start(file);
    assert.equal(await queue.insert(prefix), 200);
    await queue.process.kill('SIGTERM');
    copyFileSync(file, copyAt(way));
  }
  await using queue = await FileQueue.start(file);
  assert.equal(await queue.insert('third'), 200);
  {
    using reader = new DatabaseSync(file, { readOnly: true });
    reader.exec(`VACUUM INTO '${copyAt('VACUUM INTO')}'`);
    await backup(reader, copyAt('.backup'));
  }
  await queue.process.kill('SIGKILL');
}

const templates = { one: await temporaryFolder(), another: await temporaryFolder() };
await Promise.all(Object.values(templates).map(({ path }) => crash(path)));
after(() => Promise.all(Object.values(templates).map((each) => each[Symbol.asyncDispose]())));

/** The files of one of two such queues. */
async function crashed(which: 'one' | 'another' = 'one'): Promise<Crashed> {
  const place = await temporaryFolder();
  cpSync(templates[which].path, place.path, { recursive: true });
  const at = (name: string) => join(place.path, name);
  return {
    folder: place.path,
    file: at('queue.db'),
    copyAt: (way) => at(COPIES[way]),
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  };
}

function open(filename: string) {
  return openSqliteStore({ filename, logger: silentLogger });
}

/** Of the database, its log, and everything else but the lock, which holds nothing. */
function contents(folder: string): Map<string, string> {
  const files = readdirSync(folder).filter((file) => !file.includes('.lock'));
  return new Map(files.map((file) => [file, fileDigest(join(folder, file))]));
}

async function assertRefused(
  { folder, file }: Pick<Crashed, 'folder' | 'file'>,
  message: RegExp,
): Promise<void> {
  const before = contents(folder);
  await assert.rejects(open(file), (error) => {
    assert.ok(error instanceof StoreError && error.storeClass === 'unusable', String(error));
    assert.match(error.message, message);
    assert.ok(!error.message.includes('\n'));
    return true;
  });
  assert.deepEqual(contents(folder), before, 'a file was touched');
}

async function assertHas(file: string, prefixes: readonly string[]): Promise<void> {
  const store = await open(file);
  try {
    const ids = await store.idsByPrefix(prefixes);
    assert.deepEqual(
      prefixes.filter((_, i) => ids[i] === null),
      [],
    );
  } finally {
    await store.close();
  }
}

describe('after a crash', { concurrency: 3 }, () => {
  test('the log without its database is refused, untouched; with it, everything is there', async () => {
    await using scene = await crashed();
    const aside = join(scene.folder, 'aside');
    renameSync(scene.file, aside);
    const refusal = /queue\.db: the file is missing, but its write-ahead log .*queue\.db-wal is there/;
    await assertRefused(scene, refusal);
    renameSync(aside, scene.file);
    await assertHas(scene.file, ['first', 'second', 'third']);
  });

  test('a copy beside the log of what was there is refused, untouched; without the log it is the queue', async () => {
    await using scene = await crashed();
    const { file } = scene;
    for (const way of ['VACUUM INTO', '.backup', 'two starts ago'] as const) {
      copyFileSync(scene.copyAt(way), file);
      await assertRefused(
        scene,
        /queue\.db-wal belongs to another file \(.*\): if this is a copy that is to be used, move/,
      );
    }
    for (const way of ['VACUUM INTO', '.backup', 'two starts ago'] as const) {
      copyFileSync(scene.copyAt(way), file);
      for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
      await assertHas(file, way === 'two starts ago' ? ['first'] : ['first', 'second', 'third']);
    }
  });

  test('a copy to the byte of what the log began with is the queue, with everything', async () => {
    await using scene = await crashed();
    copyFileSync(scene.copyAt('before the last start'), scene.file);
    await assertHas(scene.file, ['first', 'second', 'third']);
  });

  test('the database of another queue beside the log is refused, also one as old as it', async () => {
    await using scene = await crashed();
    await using other = await crashed('another');
    await (await open(other.file)).close();
    for (const each of [other.copyAt('two starts ago'), other.file]) {
      copyFileSync(each, scene.file);
      await assertRefused(
        scene,
        /queue\.db-wal belongs to another file \(it holds batches \d+ to \d+ of start 3, the file ends/,
      );
    }
  });

  test('file and log copied together are the queue, also twice and after more starts', async () => {
    await using scene = await crashed();
    await using elsewhere = await temporaryFolder();
    cpSync(scene.folder, elsewhere.path, { recursive: true });
    const file = join(elsewhere.path, 'queue.db');
    for (const prefix of ['fourth', 'fifth']) {
      await using queue = await FileQueue.start(file);
      assert.equal(await queue.has('third'), true);
      assert.equal(await queue.insert(prefix), 200);
      await queue.process.kill('SIGKILL');
    }
  });

  test('tables of another program that come and go do not matter', async () => {
    await using place = await temporaryFolder();
    const file = join(place.path, 'queue.db');
    const crash = join(place.path, 'crash.db');
    const take = () => {
      for (const suffix of ['', '-wal']) copyFileSync(file + suffix, crash + suffix);
    };
    await using queue = await FileQueue.start(file);
    using other = new DatabaseSync(file);
    const steps = [
      'CREATE TABLE _litestream_seq (id INTEGER)',
      'PRAGMA wal_checkpoint(PASSIVE)',
      'CREATE TABLE _litestream_lock (id INTEGER)',
      'INSERT INTO _litestream_seq VALUES (1)',
      'PRAGMA wal_checkpoint(RESTART)',
      'INSERT INTO _litestream_seq VALUES (2)',
      'VACUUM',
      'PRAGMA wal_checkpoint(RESTART)',
      'DROP TABLE _litestream_lock',
      'PRAGMA wal_checkpoint(PASSIVE)',
    ];
    const inserted: string[] = [];
    for (const [i, step] of steps.entries()) {
      other.exec(step);
      take();
      await assertHas(crash, inserted);
      if (i % 3 === 2) continue;
      inserted.push(`step-${i}`);
      assert.equal(await queue.insert(`step-${i}`), 200);
      take();
      await assertHas(crash, inserted);
    }
  });
});

describe('one file under two names', () => {
  test('a second queue on a hard link is refused, whichever comes first; a link that nobody uses does no harm', async () => {
    await using place = await temporaryFolder();
    const [file, link] = [join(place.path, 'queue.db'), join(place.path, 'link.db')];
    await using queue = await FileQueue.start(file);
    linkSync(file, link);
    const refusal = {
      code: 'STORE_UNUSABLE',
      message: /the file has 2 names \(hard links\), and another program has it open/,
    };
    await assert.rejects(open(link), refusal);
    assert.equal(await queue.insert('first'), 200);
    await queue.process.kill('SIGTERM');
    await using second = await FileQueue.start(link);
    await assert.rejects(open(file), refusal);
    assert.equal(await second.insert('second'), 200);
    await second.process.kill('SIGKILL');
    await assertHas(link, ['first', 'second']);
  });

  test('a symbolic link is the same name', async () => {
    await using place = await temporaryFolder();
    const [file, link] = [join(place.path, 'queue.db'), join(place.path, 'link.db')];
    symlinkSync(file, link);
    const store = await open(link);
    await assert.rejects(open(file), /in use by another queue/);
    await store.close();
  });
});
