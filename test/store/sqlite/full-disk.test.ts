import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROGRAM, TestProcess } from '../../support/processes.ts';
import { FileQueue } from '../../support/queues/file-queue.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { eventually } from '../../support/time/eventually.ts';

/**
 * A disk of 2 MiB that only these processes see. Queues run on it, one after the other, with database and stderr there;
 * each line of stdin starts one.
 */
const SCRIPT = `
  mount -t tmpfs -o size=2m tmpfs "$1"
  echo mounted
  while read -r go; do
    "$0" "${PROGRAM}" --port 0 --host 127.0.0.1 --database-filename "$1/queue.db" 2>>"$1/log" &
    echo "pid $!"
    wait $!
    echo "ended $?"
  done`;

const NAMESPACES = process.getuid?.() === 0 ? '-m' : '-Urm';

function tmpfsProblem(): string | null {
  if (process.platform !== 'linux') return 'a small tmpfs needs Linux';
  const tried = spawnSync('unshare', [NAMESPACES, 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], {
    encoding: 'utf8',
  });
  return tried.status === 0
    ? null
    : `no tmpfs can be mounted (unshare ${NAMESPACES}): ${tried.error?.message ?? tried.stderr}`;
}

const problem = tmpfsProblem();
if (problem !== null)
  console.error(`NOT TESTED: a queue whose database and log share a full disk: ${problem}`);

/** Takes all that is left of the disk. */
function fill(path: string): void {
  const file = openSync(path, 'a');
  try {
    for (const bytes of [65_536, 512]) {
      try {
        for (;;) writeSync(file, Buffer.alloc(bytes, 1));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
  } finally {
    closeSync(file);
  }
}

/** Queues on such a disk, one after the other. */
class FullDisk implements AsyncDisposable {
  readonly #folder: AsyncDisposable;
  readonly #shell: TestProcess;
  readonly #disk: string;
  #from = 0;
  #pid: number | null = null;

  private constructor(folder: AsyncDisposable, shell: TestProcess, disk: string) {
    this.#folder = folder;
    this.#shell = shell;
    this.#disk = disk;
  }

  static async mount(): Promise<FullDisk> {
    const folder = await temporaryFolder();
    const args = [NAMESPACES, 'sh', '-c', SCRIPT, process.execPath, folder.path];
    const shell = new TestProcess('unshare', args);
    await shell.line(/mounted/);
    return new FullDisk(folder, shell, `/proc/${shell.pid}/root${folder.path}`);
  }

  /** The process of the next queue. */
  async launch(): Promise<number> {
    this.#from = this.#shell.linesPrinted;
    this.#shell.child.stdin!.write('go\n');
    this.#pid = Number((await this.#shell.line(/^pid (\d+)/, this.#from))[1]);
    return this.#pid;
  }

  async listening(): Promise<FileQueue> {
    const [, port] = await this.#shell.line(/ listens on http:\/\/[^ ]*:(\d+)/, this.#from);
    return FileQueue.at(this.#shell, Number(port));
  }

  /** The status that the last one ended with. */
  async ended(): Promise<number> {
    const [, status] = await this.#shell.line(/^ended (\d+)/, this.#from);
    this.#pid = null;
    return Number(status);
  }

  /** What the queues said on stderr, and on stdout where stderr could not be written. */
  said(): string {
    return readFileSync(join(this.#disk, 'log'), 'utf8') + this.#shell.output('stdout');
  }

  fill(): void {
    fill(join(this.#disk, 'filler'));
  }

  free(): void {
    rmSync(join(this.#disk, 'filler'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#pid !== null) process.kill(this.#pid, 'SIGKILL');
    await this.#shell[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

const options = problem === null ? {} : { skip: problem };

test(
  'database and stderr on the same full disk: the queue recovers, a restart says why it cannot',
  options,
  async () => {
    await using disk = await FullDisk.mount();
    const pid = await disk.launch();
    const queue = await disk.listening();
    assert.equal(await queue.insert('before'), 200);

    disk.fill();
    const unanswered = queue.insert('waiting');
    while ((await queue.ping()) !== 503);
    assert.equal(await queue.insert('meanwhile'), 503);
    disk.free();
    assert.equal(await unanswered, 200);
    assert.equal(await queue.insert('after'), 200);
    await eventually(() => /the store takes batches again/.test(disk.said()));

    disk.fill();
    process.kill(pid, 'SIGKILL');
    assert.equal(await disk.ended(), 137);
    for (let starts = 1; starts <= 2; starts++) {
      await disk.launch();
      assert.equal(await disk.ended(), 1);
      const reasons = disk
        .said()
        .match(/opsqueue: cannot start: .*: no space left on the disk of .*queue\.db: free some/g);
      assert.equal(reasons?.length, starts, disk.said());
    }
    disk.free();
    await disk.launch();
    const restarted = await disk.listening();
    for (const prefix of ['before', 'waiting', 'after']) assert.equal(await restarted.has(prefix), true);
    assert.equal(await restarted.has('meanwhile'), false);
  },
);
