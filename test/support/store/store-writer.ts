/**
 * A process that commits the workload through a journal, batch by batch, for tests that break its disk or kill it.
 * Takes the database's name, the number of the last batch and, optionally, `pause`: then it goes on after its first
 * batch when it gets a line on stdin. It says on stdout, a line each: `ack N` after batch N is on disk, `stuck CLASS`,
 * `well`, `full N` after the last one, `refused TEXT` if the database does not open.
 */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { Journal } from '../../../src/queue/journal/journal.ts';
import { StoreError } from '../../../src/store/errors.ts';
import { unlimitedTenure } from '../../../src/store/lease.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { systemRandom } from '../../../src/system/random.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { workloadBatch } from './store-workload.ts';

const [filename = '', batches = '0', pause] = process.argv.slice(2);
const say = (line: string) => void writeSync(1, `${line}\n`);

async function main(): Promise<void> {
  const store = await openSqliteStore({ filename, logger: silentLogger });
  const [grant] = await store.acquire([0], 'writer');
  if (!grant) throw new Error('nothing was granted');
  const journal = new Journal({
    store,
    tenure: unlimitedTenure(grant),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    retryFirstMs: 5,
    retryMaxMs: 20,
  });
  journal.onHealth(({ ok, error }) => say(ok ? 'well' : `stuck ${error?.storeClass}`));
  for (let number = grant.lastSeq + 1; number <= Number(batches); number++) {
    for (const mutation of workloadBatch(number)) {
      if (mutation.kind === 'insert') void journal.insert(mutation);
      else journal.add(mutation);
    }
    await journal.committed();
    say(`ack ${number}`);
    if (pause !== undefined && number === grant.lastSeq + 1) await once(process.stdin, 'data');
  }
  await journal.drain();
  await store.close();
  say('ended');
  process.stdin.destroy();
}

main().catch((error: unknown) => {
  say(error instanceof StoreError ? `refused ${error.message}` : `broken ${String(error)}`);
  process.exitCode = 1;
});
