import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { backup, DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { startServer } from '../../../src/server/index.ts';
import { crashPatienceMs, crashRounds } from '../../support/crash/budget.ts';
import { Ledger } from '../../support/crash/ledger.ts';
import { Load } from '../../support/crash/load.ts';
import { RawQueue } from '../../support/crash/raw-queue.ts';
import { verifyLedger } from '../../support/crash/verify.ts';
import { startQueue } from '../../support/processes.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const SHARE = 0.05;

/** The youngest: that the old ones are there as well is seen in the rounds before. */
const ENTRIES_COMPARED = 400;

/** All pages in one step: a copy in several starts again with every commit of another process. */
const EVERYTHING = 1_000_000;

const WAYS: Readonly<Record<string, (from: DatabaseSync, to: string) => unknown>> = {
  'backup()': (from, to) => backup(from, to, { rate: EVERYTHING }),
  'VACUUM INTO': (from, to) => from.prepare('VACUUM INTO ?').run(to),
};

test('a database that is copied while the queue works is a queue with everything that was acknowledged before', {
  timeout: crashPatienceMs(SHARE),
}, async (t) => {
  const { random, numbers } = crashRounds(t, 1, SHARE);
  await using folder = await temporaryFolder();
  const filename = `${folder.path}/q.db`;
  const { queue, port } = await startQueue(['--database-filename', filename]);
  await using _queue = queue;
  let moment = 0;
  const ledger = new Ledger(() => moment);
  const load = Load.start(port, { ledger, random, name: 'load' });
  using database = new DatabaseSync(filename, { readOnly: true });
  for (const round of numbers) {
    for (const [name, copy] of Object.entries(WAYS)) {
      await load.reaches(ledger.facts + 60);
      const to = `${folder.path}/copy-${round}.db`;
      const began = moment++;
      await copy(database, to);
      // More is told by the queue while its copy is looked at.
      await load.reaches(ledger.facts + 20);
      await using server = await startServer({ port: 0, hosts: ['127.0.0.1'], databaseFilename: to });
      using client = await RawQueue.connect(server.port);
      const compared = await verifyLedger(client, ledger, {
        at: began,
        entries: [...ledger.entries.values()].slice(-ENTRIES_COMPARED),
      });
      assert.ok(compared > 10, `${name}: only ${compared} submissions`);
      await server.stop();
      await rm(to);
    }
  }
  await load.stop();
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
});
