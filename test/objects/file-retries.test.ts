import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { FileRetries, mayShowLate } from '../../src/objects/file-retries.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import { rejectsWith } from '../conformance/object-store.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { storeFolder } from '../support/objects/store-folder.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'opsqueue-file-retries-'));
const disk = storeFolder(`${pathToFileURL(root)}`);
after(() => [root, disk].map((path) => fs.rmSync(path, { recursive: true, force: true })));

async function armed(clock: ManualClock): Promise<void> {
  while (clock.timersPending === 0) await new Promise<void>((resolve) => setImmediate(resolve));
}

async function scene(name: string, options: Readonly<Record<string, string>> = {}) {
  const clock = new ManualClock();
  const logger = recordingLogger();
  const store = await openObjectStore(`${pathToFileURL(join(root, name))}`, options, { clock, logger });
  return { clock, logger, store, path: (key: string) => join(disk, name, key) };
}

describe('an object that is not there yet', () => {
  test('is asked for again for as long as the option says, and the log says so once', async () => {
    const { clock, logger, store, path } = await scene('late', { missing_wait: '5s' });
    const reading = store.get('p/0-in.bin');
    for (let seconds = 0; seconds < 4; seconds++) {
      await armed(clock);
      clock.advance(1_000);
    }
    await armed(clock);
    fs.mkdirSync(path('p'), { recursive: true });
    fs.writeFileSync(path('p/0-in.bin'), 'here');
    clock.advance(1_000);
    assert.equal(Buffer.from(await reading).toString(), 'here');
    assert.equal(
      logger.lines.filter(({ message }) => /^waiting for the object store/.test(message)).length,
      1,
    );

    const missing = rejectsWith('OBJECT_NOT_FOUND', store.get('p/1-in.bin'), 'p/1-in.bin');
    const beganMs = clock.monotonicMs();
    let over = false;
    void missing.then(() => {
      over = true;
    });
    while (!over) {
      clock.advance(50);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    assert.ok(clock.monotonicMs() - beganMs > 3_500);
  });

  test('is not waited for on a local disk, nor is its deletion', async () => {
    const { clock, store } = await scene('local');
    await rejectsWith('OBJECT_NOT_FOUND', store.get('p/0-in.bin'), 'p/0-in.bin');
    await store.delete(['p/0-in.bin']);
    assert.deepEqual(await Array.fromAsync(store.list('p')), []);
    assert.equal(clock.timersPending, 0);
  });

  test('ends with the signal of its caller', async () => {
    const { clock, store } = await scene('aborted', { missing_wait: '5s' });
    const controller = new AbortController();
    const reading = store.get('p/0-in.bin', { signal: controller.signal });
    await armed(clock);
    const reason = new Error('enough');
    controller.abort(reason);
    await assert.rejects(reading, reason);
    assert.equal(clock.timersPending, 0);
  });
});

test('the disks that show late what others have written are those of other machines', () => {
  const network = { NFS: 0x6969, SMB2: 0xfe534d42 | 0, CIFS: 0xff534d42, FUSE: 0x65735546, '9p': 0x01021997 };
  for (const [name, type] of Object.entries(network)) assert.equal(mayShowLate(type), true, name);
  for (const type of [0xef53, 0x58465342, 0x9123683e | 0, 0x01021994, 0x794c7630]) {
    assert.equal(mayShowLate(type), false, type.toString(16));
  }
});

describe('an error that may pass', () => {
  const failing = (code: string, syscall: string) => Object.assign(new Error(code), { code, syscall });
  const retried = async (what: 'put' | 'get' | 'delete', code: string, syscall = 'open') => {
    const clock = new ManualClock();
    const retries = new FileRetries(root, { missingMs: 0, retryMs: 5_000 }, clock, recordingLogger());
    const error = failing(code, syscall);
    const call = {
      what,
      key: 'k',
      path: join(root, 'k'),
      error,
      signal: undefined,
      attempt: async () => 'done',
    };
    const going = retries.goOn(call).catch((thrown: unknown) => thrown);
    for (let turns = 0; turns < 20; turns++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      clock.advance(10);
    }
    return (await going) === 'done';
  };

  test('is waited for: ESTALE, EIO, EBUSY, and EACCES of a rename', async () => {
    for (const code of ['ESTALE', 'EIO', 'EBUSY', 'ETIMEDOUT']) {
      for (const what of ['put', 'get', 'delete'] as const)
        assert.equal(await retried(what, code), true, code);
    }
    for (const code of ['EACCES', 'EPERM']) assert.equal(await retried('put', code, 'rename'), true, code);
    assert.equal(await retried('put', 'ENOENT', 'rename'), true);
  });

  test('others are told at once', async () => {
    for (const code of ['EACCES', 'EPERM', 'ENOSPC', 'EROFS', 'ENOTDIR']) {
      assert.equal(await retried('put', code), false, code);
    }
    assert.equal(await retried('get', 'ENOENT'), false);
    assert.equal(await retried('delete', 'EACCES', 'unlink'), false);
  });
});

test('the log says where the chunks lie if it is not the folder of the URL', async () => {
  const { logger, store } = await scene('für #1~');
  await store.put('p/0-in.bin', new Uint8Array(1));
  const said = logger.lines.filter(({ message }) => message.startsWith('chunks of the object store lie in'));
  assert.equal(said.length, 1);
  const { folder } = (said[0]?.fields ?? {}) as { folder: string };
  assert.ok(folder.endsWith('/f%C3%BCr %231%7E'), folder);
  assert.ok(fs.existsSync(`${folder}/p/0-in.bin`));
  assert.equal(fs.existsSync(join(root, 'für #1~')), false);
  const plain = recordingLogger();
  await openObjectStore('file:///nothing/plain name', {}, { logger: plain });
  assert.equal(plain.lines.length, 0);
});
