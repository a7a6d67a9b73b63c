import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { goldenSessions } from '../support/protocol/golden.ts';
import type { Deviation } from '../support/replay/deviation.ts';
import { factsOf } from '../support/replay/facts.ts';
import { Replay } from '../support/replay/replay.ts';
import { DEVIATIONS } from './deviations.ts';
import { SURROUNDINGS } from './scenes.ts';

// Our server against the recorded clients, byte by byte over real sockets.

const met = new Set<Deviation>();

for (const file of ['http.json', 'websocket.json'] as const) {
  const sessions = goldenSessions(file);
  const facts = factsOf(sessions);
  suite(`recorded clients: ${file}`, { concurrency: 8 }, () => {
    for (const session of sessions) {
      test(`${session.name}: ${session.what}`, async () => {
        const replay = new Replay(session, {
          facts,
          deviations: DEVIATIONS.filter((deviation) => deviation.session === session.name),
          surroundings: SURROUNDINGS.get(session.name) ?? {},
        });
        for (const deviation of await replay.run()) met.add(deviation);
      });
    }
  });
}

after(() => {
  const stale = DEVIATIONS.filter((deviation) => !met.has(deviation));
  assert.deepEqual(
    stale.map(({ session, message }) => `${session} ${message}`),
    [],
    'deviations that were not met',
  );
});
