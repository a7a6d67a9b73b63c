import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, randomInt } from '../../../src/system/random.ts';
import { crashPatienceMs, crashRounds } from '../../support/crash/budget.ts';
import { type Entry, FACT_KINDS, Ledger } from '../../support/crash/ledger.ts';
import { Load } from '../../support/crash/load.ts';
import { RawQueue } from '../../support/crash/raw-queue.ts';
import { verifyLedger } from '../../support/crash/verify.ts';
import { runOpsqueue, startQueue } from '../../support/processes.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const SHARE = 0.3;
/** Of those that had ended long ago, so many are looked at again in each round; all of them at the end. */
const ENDED_LOOKED_AT = 50;

test('a queue that is killed at any moment, again and again, keeps every insert, cancel and completion that it had told', {
  timeout: crashPatienceMs(SHARE),
}, async (t) => {
  const { random, numbers, isLong } = crashRounds(t, 4, SHARE);
  await using folder = await temporaryFolder();
  const flags = ['--database-filename', `${folder.path}/q.db`, '--max-chunk-retries', '3'];
  const ledger = new Ledger();
  const counts = { killedAtStart: 0, compared: 0 };
  for (const round of numbers) {
    if (random.next() < 0.3) {
      await killAtStart(flags, random);
      counts.killedAtStart++;
    }
    await using stack = new AsyncDisposableStack();
    ledger.restarted();
    const { queue, port } = await startQueue(flags);
    stack.use(queue);
    counts.compared += await compare(port, ledger, random);
    const load = Load.start(port, { ledger, random, name: `round-${round}` });
    // Most of them right after something was told, before a commit can make good for it; the others at any moment.
    const kind = FACT_KINDS[randomInt(random, FACT_KINDS.length + 2)] ?? null;
    await load.reaches(ledger.facts + randomInt(random, isLong ? 1_000 : 250), kind);
    if (kind === null) await passes(random.next() * 10);
    assert.deepEqual(await queue.kill('SIGKILL'), { code: null, signal: 'SIGKILL' });
    await load.ended();
  }

  ledger.restarted();
  const { queue, port } = await startQueue(flags);
  await using _queue = queue;
  using client = await RawQueue.connect(port);
  await verifyLedger(client, ledger);
  const load = Load.start(port, { ledger, random, name: 'rest', producers: 0 });
  for (const entry of ledger.entries.values()) {
    if (entry.id === null || entry.end !== null) continue;
    const found = await Promise.race([client.status(entry.id, '?wait_ms=60000'), load.ended()]);
    assert.ok(found && found.status.state !== 'in_progress', `${entry.name} does not end: ${found?.text}`);
  }
  await verifyLedger(client, ledger);
  assert.deepEqual(
    (await client.openIds()).filter((id) => ledger.byId.has(id)),
    [],
  );
  await load.stop();
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
  t.diagnostic(
    `${ledger.entries.size} submissions, ${ledger.facts} facts, ${counts.compared} comparisons, ` +
      `${counts.killedAtStart} times killed at start, ended: ${ends(ledger)}`,
  );
  assert.ok(ledger.facts > 300, `only ${ledger.facts} facts`);
});

/** Killed while it opens the database, looks through it, or begins to listen. */
async function killAtStart(flags: readonly string[], random: Random): Promise<void> {
  await using queue = runOpsqueue(['--port', '0', ...flags]);
  await passes(random.next() * 500);
  await queue.kill('SIGKILL');
}

async function compare(port: number, ledger: Ledger, random: Random): Promise<number> {
  using client = await RawQueue.connect(port);
  const isOld = (entry: Entry) => entry.end !== null;
  const all = [...ledger.entries.values()];
  const old = all.filter(isOld);
  const some = Array.from(
    { length: Math.min(old.length, ENDED_LOOKED_AT) },
    () => old[randomInt(random, old.length)],
  );
  return await verifyLedger(client, ledger, {
    entries: [...all.filter((entry) => !isOld(entry)), ...some.filter((entry) => entry !== undefined)],
  });
}

function ends(ledger: Ledger): string {
  const counts = new Map<string, number>();
  for (const { end } of ledger.entries.values()) {
    const state = /^\{"(\w+)"/.exec(end?.text ?? '')?.[1] ?? 'unknown';
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return JSON.stringify(Object.fromEntries(counts));
}

function passes(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
