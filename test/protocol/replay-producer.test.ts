import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { detailsOf } from '../../src/model/submission.ts';
import { chunkKey } from '../../src/objects/keys.ts';
import {
  ProducerClient,
  SubmissionNotCancellableError,
  SubmissionNotFoundError,
  type SubmitOptions,
  TooManyMatchingSubmissionsError,
} from '../../src/producer/index.ts';
import { cborChunkCodec } from '../../src/protocol/chunk/codec.ts';
import { parseStatus } from '../../src/protocol/producer/requests.ts';
import { TempStore } from '../support/objects/temp-store.ts';
import { type GoldenSession, goldenSessions } from '../support/protocol/golden.ts';
import { type AnsweredRequest, RecordedServer } from '../support/replay/recorded-server.ts';

// Our producer does what the recorded Python producer did, against the recorded server: it must send the same
// requests and understand the answers, habits of the reference included (no long poll, no features).

interface Scene {
  readonly producer: ProducerClient;
  /** The same for chunks. */
  readonly raw: ProducerClient;
  readonly objects: TempStore;
  readonly session: GoldenSession;
}

const cbor = cborChunkCodec();
/** What only a program without types leaves out. */
const NO_CHUNK_SIZE = {} as SubmitOptions;
const status = async ({ producer, session }: Scene, id: bigint | string) => {
  const recorded = answers(session)
    .map((body) => parseRecordedStatus(body))
    .find((found) => found?.record.id === BigInt(id));
  const expected = recorded == null ? null : detailsOf(recorded);
  assert.deepEqual(await producer.submission(id).details(), expected);
};

/** What the Python client was told to do, by session. */
const CALLS: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  async version({ producer }) {
    assert.equal(await producer.serverVersion(), 'v0.40.1');
  },
  async insert_object_storage({ producer }) {
    assert.equal(await producer.insertSubmission([1, 2, 3], { chunkSize: 1 }), '7530730140486074368');
  },
  async insert_metadata({ producer }) {
    const metadata = Uint8Array.of(0, 1, 127, 128, 255);
    await producer.insertSubmission([1], { chunkSize: 1, metadata });
  },
  async insert_strategic_metadata(scene) {
    const strategicMetadata = {
      big: 9007199254740993n,
      negative: -7,
      company_id: 42,
      least: -(2n ** 63n),
      greatest: 2n ** 63n - 1n,
      zero: 0,
    };
    await status(scene, await scene.producer.insertSubmission([1], { chunkSize: 1, strategicMetadata }));
  },
  async insert_chunk_size(scene) {
    const { producer } = scene;
    const first = await producer.insertSubmission([1, 2, 3, 4, 5], { chunkSize: 1000 });
    const second = await scene.raw.insertSubmission([cbor.encode([1]), cbor.encode([2])], NO_CHUNK_SIZE);
    await status(scene, first);
    await status(scene, second);
  },
  async insert_zero_chunks(scene) {
    await status(scene, await scene.producer.insertSubmission([], { chunkSize: 20 }));
  },
  async insert_direct(scene) {
    // Our client has no way to say that a chunk has no content: it is empty.
    const contents = [Buffer.from('abc'), Uint8Array.of(), Uint8Array.of()];
    const options = { chunkSize: 3, metadata: Buffer.from('m'), strategicMetadata: { k: 1 } };
    await status(scene, await scene.raw.insertSubmission(contents, { ...options, in: 'queue' }));
  },
  status_unknown: (scene) => status(scene, 1n),
  status_in_progress: (scene) => status(scene, 7530730148555915264n),
  status_completed: (scene) => status(scene, 7530730148581081088n),
  async status_failed(scene) {
    await status(scene, 7530730148971151360n);
    await status(scene, 7530730149617074176n);
  },
  async cancel_ok_and_status_cancelled(scene) {
    await scene.producer.submission(7530730150070059008n).cancel();
    await status(scene, 7530730150070059008n);
  },
  async cancel_not_found({ producer }) {
    await assert.rejects(producer.submission(0n).cancel(), SubmissionNotFoundError);
  },
  async cancel_conflict({ producer }) {
    for (const id of [7530730148581081088n, 7530730148971151360n, 7530730150070059008n]) {
      await assert.rejects(producer.submission(id).cancel(), SubmissionNotCancellableError);
    }
  },
  async count({ producer }) {
    assert.equal(await producer.countSubmissions(), 1);
  },
  async lookup_id_by_prefix({ producer, session }) {
    const prefixes = session.messages.flatMap((message) =>
      message.kind === 'request' ? [message.request_line?.split(/[/ ]/).at(-3) ?? ''] : [],
    );
    const ids = [];
    for (const prefix of prefixes) ids.push((await producer.submissionByPrefix(prefix))?.id ?? null);
    assert.deepEqual(ids, ['7530730148555915264', '7530730148581081088', '7530730148971151360', null, null]);
  },
  async lookup_ids_by_strategic_metadata({ producer }) {
    const ids = [];
    for (const pairs of [{ foo: 1 }, { foo: 1, bar: 3 }, { foo: 1, none: 3 }, {}]) {
      ids.push((await producer.submissionsInProgress(pairs)).length);
    }
    assert.deepEqual(ids, [2, 1, 0, 4]);
  },
  async lookup_too_many({ producer }) {
    assert.equal((await producer.submissionsInProgress({ k: 1 })).length, 2);
    for (const pairs of [{ k: 1 }, {}]) {
      await assert.rejects(
        producer.submissionsInProgress(pairs),
        (error) => error instanceof TooManyMatchingSubmissionsError && error.max === 2,
      );
    }
  },
  async wait_for_completion({ producer, objects }) {
    const id = await producer.insertSubmission([1], { chunkSize: 1 });
    await objects.store.put(chunkKey('01a20a1c-c050-7eb2-adf7-101889dbefc6', 0, 'out'), cbor.encode([2]));
    assert.deepEqual(await Array.fromAsync(producer.submission(id).results()), [2]);
  },
};

/** Sessions of the Python producer that ours does not repeat. */
const NOT_REPEATED = ['trace_headers_log_default', 'trace_headers_log_off', 'trace_headers_log_debug'];

suite('our producer against the recorded server', { concurrency: 4 }, () => {
  const sessions = goldenSessions('http.json').filter(({ client }) => client.startsWith('official'));
  for (const session of sessions) {
    const calls = CALLS[session.name];
    if (calls === undefined) continue;
    test(`${session.name}: ${session.what}`, async () => {
      await using server = await RecordedServer.start(session);
      await using objects = await TempStore.create();
      await using producer = new ProducerClient(server.url, objects.url);
      await using raw = new ProducerClient(server.url, objects.url, { codec: 'raw' });
      await calls({ producer, raw, objects, session });
      assert.deepEqual(server.requestsLeft, []);
      for (const request of server.requests) assertSameRequest(request);
    });
  }

  test('every session of the Python producer is repeated, but for those that are about its traces', () => {
    const names = sessions.map(({ name }) => name);
    assert.deepEqual(
      names.filter((name) => CALLS[name] === undefined),
      NOT_REPEATED,
    );
  });
});

function assertSameRequest({ line, headers, body, recorded }: AnsweredRequest): void {
  assert.equal(line, recorded.request_line);
  // A prefix is made up for each submission; and see insert_direct.
  const comparable = (text: string) =>
    text.replace(/"prefix":"[0-9a-f-]{36}"/, '"prefix":"UUID"').replace(',null,[]]}}', ',[],[]]}}');
  assert.equal(comparable(body), comparable(recorded.body ?? ''));
  const recordedHeaders = new Map(recorded.headers.map(([name, value]) => [name.toLowerCase(), value]));
  assert.equal(headers['content-type'], recordedHeaders.get('content-type'));
  // A cancel has no body, and says nothing about one either.
  if (body === '')
    assert.equal(headers['content-length'] ?? '0', recordedHeaders.get('content-length') ?? '0');
  assert.equal(headers['transfer-encoding'], undefined);
}

function answers(session: GoldenSession): readonly string[] {
  return session.messages.flatMap((message) => (message.kind === 'response' ? [message.body ?? ''] : []));
}

/** As our client reads it: the chunk size of what has ended is always 1 there, which says nothing. */
function parseRecordedStatus(body: string) {
  const status = body.startsWith('{"') ? parseStatus(body) : null;
  if (status === null || status.state === 'in_progress') return status;
  return { ...status, record: { ...status.record, chunkSizeOps: null } };
}
