/** Needs a C compiler: run by `npm run test:crash`. */
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { startServer } from '../../../src/server/index.ts';
import { randomInt } from '../../../src/system/random.ts';
import { crashPatienceMs, crashRounds } from '../../support/crash/budget.ts';
import { DiskShim, shimProblem } from '../../support/crash/disk-shim.ts';
import { Ledger } from '../../support/crash/ledger.ts';
import { Load } from '../../support/crash/load.ts';
import { PoweredDisk, SURVIVALS } from '../../support/crash/power-cut.ts';
import { RawQueue } from '../../support/crash/raw-queue.ts';
import { verifyLedger } from '../../support/crash/verify.ts';
import { startQueue } from '../../support/processes.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const SHARE = 0.15;
const CUTS_PER_ROUND = 40;

test('wherever the power fails, and whatever the disk makes of what was not synced, all that was told is there', {
  timeout: crashPatienceMs(SHARE),
}, async (t) => {
  assert.equal(shimProblem(), null);
  const { random, numbers } = crashRounds(t, 1, SHARE);
  let [cuts, operations, lost] = [0, 0, 0];
  for (const round of numbers) {
    await using folder = await temporaryFolder();
    const shim = new DiskShim(folder.path);
    const ledger = new Ledger(() => shim.traceBytes);
    const { queue, port } = await startQueue(['--database-filename', shim.filename], { env: shim.env });
    await using _queue = queue;
    const start = shim.traceBytes;
    assert.ok(start > 0, 'nothing is written down');
    // Enough to make SQLite empty its log now and then.
    const load = Load.start(port, { ledger, random, name: `power-${round}`, inputBytesMax: 30_000 });
    await load.reaches(250);
    await queue.kill('SIGKILL');
    await load.ended();

    const trace = shim.trace();
    operations += trace.length;
    const first = trace.findIndex(({ at }) => at >= start);
    const chosen = new Set(
      Array.from({ length: CUTS_PER_ROUND }, () => first + randomInt(random, trace.length - first)),
    );
    const disk = new PoweredDisk();
    for (const [number, operation] of trace.entries()) {
      disk.apply(operation);
      if (!chosen.has(number)) continue;
      const survival = SURVIVALS[randomInt(random, SURVIVALS.length)] ?? 'any';
      const place = `${folder.path}/cut-${number}`;
      const filename = `${place}/q.db`;
      await mkdir(place);
      const [database, log] = disk.afterCut(survival, random);
      await Promise.all([writeFile(filename, database), writeFile(`${filename}-wal`, log)]);
      await using server = await startServer({ port: 0, hosts: ['127.0.0.1'], databaseFilename: filename });
      using client = await RawQueue.connect(server.port);
      try {
        await verifyLedger(client, ledger, { at: operation.at });
      } catch (cause) {
        throw new Error(`round ${round}, operation ${number} of ${trace.length}, ${survival} kept`, {
          cause,
        });
      }
      if (survival === 'none') lost++;
      await server.stop();
      await rm(place, { recursive: true });
      cuts++;
    }
  }
  t.diagnostic(
    `${cuts} cuts in ${operations} operations of the disk, after ${lost} of them all that was not synced was gone`,
  );
});
