import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/index.ts';
import type { ObjectStoreOptions } from '../../src/objects/object-store.ts';
import { ObjectStoreError, ProducerClient, SubmissionFailedError } from '../../src/producer/index.ts';
import { type RecordingLogger, recordingLogger } from '../support/fakes/recording-logger.ts';
import type { Fault } from '../support/network/fault-proxy.ts';
import { FaultyPlace } from '../support/objects/faulty-place.ts';
import { SERVERS } from '../support/objects/object-servers.ts';
import { TestServer } from '../support/queues/test-server.ts';

/** Longer than any run takes; what hangs ends here. */
const PATIENCE_MS = 120_000;
const CHUNKS = 4;
const CHUNK_SIZE = 3;
const QUICK = { max_retries: 1_000, retry_first_wait: '2ms', retry_max_wait: '50ms' };
/**
 * For what only a time limit ends, and for nothing else: on a slow core tries that do not fit are made again, all at once,
 * so that no more than a few may have so little time.
 */
const HASTY = { ...QUICK, timeout: '1s' };

interface Passing {
  readonly fault: Fault;
  readonly times: number;
  /** Nothing happens any more: the time limit of a try is over, then. */
  readonly isSilent?: true;
}

/** Each meets every request of a run (uploads, downloads, deletions), so many times. */
const PASSING: Readonly<Record<string, Passing>> = {
  'status-429': { fault: { kind: 'status', status: 429, headers: { 'retry-after': '0' } }, times: 2 },
  'status-500': { fault: { kind: 'status', status: 500 }, times: 2 },
  'status-503': { fault: { kind: 'status', status: 503 }, times: 2 },
  delay: { fault: { kind: 'delay', delayMs: 30 }, times: 1 },
  hang: { fault: { kind: 'hang' }, times: 1, isSilent: true },
  'reset-before': { fault: { kind: 'reset-before' }, times: 2 },
  'lost-answer': { fault: { kind: 'lost-answer' }, times: 2 },
  'reset-after': { fault: { kind: 'reset-after' }, times: 2 },
  truncation: { fault: { kind: 'truncation' }, times: 2 },
  stall: { fault: { kind: 'stall' }, times: 1, isSilent: true },
  damage: { fault: { kind: 'damage' }, times: 1 },
};

const waits = (logger: RecordingLogger) =>
  logger.lines.filter(({ level, message }) => level === 'warn' && /^waiting for the object/.test(message));

const shout = (word: string) => word.toUpperCase();

describe('with every fault in front of the object store,', { concurrency: 2 }, () => {
  for (const [scheme, start] of Object.entries(SERVERS)) {
    describe(`a run of producer, queue and consumer on ${scheme}:`, {
      timeout: PATIENCE_MS,
      concurrency: 1,
    }, () => {
      const stack = new AsyncDisposableStack();
      let place: FaultyPlace;
      let ours: ReturnType<typeof clients>;
      let hasty: ReturnType<typeof clients>;

      before(async () => {
        place = stack.use(await FaultyPlace.start(start));
        // A fault that reached the queue as a failed chunk would end its submission.
        const queue = stack.use(await TestServer.start({ chunkRetriesMax: 0 }));
        ours = clients(queue, QUICK);
        hasty = clients(queue, HASTY, '/q/hasty');
      });
      after(() => stack.disposeAsync());

      const clients = ({ port }: TestServer, limits: ObjectStoreOptions, path = '') => {
        const logs = { producer: recordingLogger(), consumer: recordingLogger() };
        const url = `127.0.0.1:${port}${path}`;
        const objectStoreOptions = { ...place.options, ...limits };
        const producer = stack.use(
          new ProducerClient(url, place.url, { objectStoreOptions, logger: logs.producer }),
        );
        const consumer = stack.use(
          new ConsumerClient(url, place.url, { objectStoreOptions, logger: logs.consumer }),
        );
        consumer.runEachOp(shout, { concurrency: 8, prefetch: 8 }).catch(() => {});
        return { producer, logs };
      };
      const run = async (producer: ProducerClient, word: string) => {
        const words = Array.from({ length: CHUNKS * CHUNK_SIZE }, (_, i) => `${place.mark(word)} ${i}`);
        const options = { chunkSize: CHUNK_SIZE, cleanup: 'after-results' } as const;
        const results = await Array.fromAsync(producer.runSubmission(words, options));
        assert.deepEqual(results, words.map(shout));
      };

      describe('results are exact and nothing is left, whatever comes between:', { concurrency: 16 }, () => {
        for (const [name, { fault, times, isSilent }] of Object.entries(PASSING)) {
          test(name, async () => {
            const seen = place.arm(name, (_request, before) => (before < times ? fault : null));
            await run((isSilent ? hasty : ours).producer, name);
            // Of each chunk: input and output, written and read; a deletion at least.
            assert.ok(seen.requests.size > 4 * CHUNKS, `${seen.requests.size} requests`);
            assert.ok(seen.faults >= 4 * CHUNKS * times, `${seen.faults} faults`);
            assert.deepEqual(await place.objectsOf(name), []);
          });
        }

        test('a refusal is not waited for: the chunk fails, saying which object and why; others go on', async () => {
          place.arm('refused-output', ({ method, url }) =>
            /^P/.test(method) && url.includes('-out.bin') ? { kind: 'status', status: 403 } : null,
          );
          await assert.rejects(run(ours.producer, 'refused-output'), (error) => {
            assert.ok(error instanceof SubmissionFailedError);
            assert.match(error.failure, /OBJECT_DENIED|ObjectStoreError/);
            assert.match(error.failure, /-out\.bin.*403/);
            return true;
          });
          place.arm('refused-input', () => ({ kind: 'status', status: 403 }));
          await assert.rejects(run(ours.producer, 'refused-input'), (error) => {
            assert.ok(error instanceof ObjectStoreError);
            assert.equal(error.code, 'OBJECT_DENIED');
            assert.match(error.key, /-in\.bin$/);
            return true;
          });
        });
      });

      test('both clients said what they waited for', () => {
        for (const [who, logger] of Object.entries(ours.logs)) {
          const [first] = waits(logger);
          assert.ok(first !== undefined, `the ${who} said nothing`);
          assert.match(
            first.message,
            /object \S+-(?:in|out)\.bin: (?:put|get|delete): .*; trying again in \d+ ms/,
          );
          assert.equal((first.fields as { url: string }).url, place.url);
        }
        assert.deepEqual(
          ours.logs.consumer.lines.filter(({ message }) => /downloaded: it fails/.test(message)),
          [],
        );
      });

      test('a store that is away is waited for, and both clients say so', async () => {
        // With a queue of its own: the other consumer takes nothing from it.
        const { producer, logs } = clients(stack.use(await TestServer.start({ chunkRetriesMax: 0 })), QUICK);
        await place.leave();
        let reads = 0;
        place.arm('away', ({ method }) => {
          // Gone once more in the middle of the first download: now it is the consumer's turn.
          if (method === 'GET' && reads++ === 0) void place.leave();
          return null;
        });
        const running = run(producer, 'away');
        await logs.producer.line(/^waiting for the object store: .*ECONNREFUSED/);
        await place.comeBack();
        await logs.consumer.line(/^waiting for the object store: object \S+-in\.bin: get: /);
        await place.comeBack();
        await running;
        assert.deepEqual(await place.objectsOf('away'), []);
      });
    });
  }
});
