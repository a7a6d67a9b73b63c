/** What changes in the middle of reading a shard that another node has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import {
  cancelled,
  completed,
  failedChunk,
  insertOf,
  page,
  tries,
} from '../../../src/store/conformance/mutations.ts';
import { plainLoaded } from '../../../src/store/conformance/session.ts';
import { Connections } from '../../../src/store/postgres/connections.ts';
import type { Read } from '../../../src/store/postgres/load.ts';
import { parseLocation } from '../../../src/store/postgres/location.ts';
import { prepareDatabase } from '../../../src/store/postgres/open.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { PostgresPreparation } from '../../../src/store/postgres/preparation.ts';
import type { LoadedSubmission, Mutation } from '../../../src/store/store.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { PostgresServer, withoutPostgres } from '../../support/store/postgres-server.ts';

async function open(url: string) {
  const logger = recordingLogger();
  const location = parseLocation(pg, url.slice('postgres:'.length));
  const connections = new Connections({ pg, location, logger, clock: systemClock });
  await prepareDatabase(connections, { logger, clock: systemClock });
  return { connections, store: new PostgresStore(connections) };
}

test('what comes before any statement of the reading, and goes after it, is seen', {
  skip: withoutPostgres(),
}, async () => {
  await using server = await PostgresServer.start();
  const { connections, store } = await open(server.url('?schema=preparing'));
  const [grant = assert.fail()] = await store.acquire([0], 'a');
  let seq = grant.lastSeq;
  const commit = async (...mutations: Mutation[]) => {
    const { kind } = await store.commit({ shard: 0, epoch: grant.epoch, seq: ++seq, mutations });
    assert.equal(kind, 'committed');
  };
  await commit(insertOf(1n), insertOf(2n));
  let id = 10n;
  const fresh = (goes: (id: bigint) => Mutation[]) => (): [Mutation[], Mutation[]] => [
    [insertOf(++id)],
    goes(id),
  ];
  const cases: (() => [comes: Mutation[], goes: Mutation[]])[] = [
    fresh((each) => [page(each, 0, [0]), completed(each, 100)]),
    fresh((each) => [cancelled(each, 100)]),
    () => [[failedChunk(1n, 4, 'it broke')], [{ kind: 'retry', id: 1n }]],
    () => [[tries(2n, 4, 1, 0)], [{ kind: 'retry', id: 2n }]],
  ];
  for (const [number, changes] of cases.entries()) {
    let statements = Number.POSITIVE_INFINITY;
    for (let at = 1; at <= statements; at++) {
      const [comes, goes] = changes();
      let asked = 0;
      const read: Read = async (work) => {
        if (++asked === at) await commit(...comes);
        return connections.read(work);
      };
      const preparation = new PostgresPreparation(read, 0);
      const blocks = new Map<number, readonly LoadedSubmission[]>();
      for await (const { block, submissions } of preparation.read()) blocks.set(block, submissions);
      statements = asked;
      await commit(...goes);
      for await (const { block, submissions } of preparation.changed()) blocks.set(block, submissions);
      const stored = (await Array.fromAsync(store.load([0]))).flat();
      const known = [...blocks.values()].flat();
      assert.deepEqual(
        known.map(plainLoaded),
        stored.map(plainLoaded),
        `case ${number}, before statement ${at}`,
      );
    }
    assert.ok(statements >= 6, `${statements} statements`);
  }
  await store.close();
});

test('a node that takes its first shard goes on reading others', { skip: withoutPostgres() }, async () => {
  await using server = await PostgresServer.start();
  const { connections, store } = await open(server.url('?schema=first'));
  const { free } = await store.leases.look(null);
  const claim = { holder: 'a', address: 'a:3999', leaseMs: 3_000 };
  let taken = 0;
  const read: Read = (work) =>
    connections.read(async (session) => {
      if (taken === 0) taken = (await store.leases.take(free.slice(1), claim)).length;
      return work(session);
    });
  for await (const { submissions } of new PostgresPreparation(read, 0).read())
    assert.deepEqual(submissions, []);
  assert.equal(taken, free.length - 1);
  await store.close();
});
