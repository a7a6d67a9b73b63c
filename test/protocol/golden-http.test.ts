import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  formatCount,
  formatId,
  formatIdOrNull,
  formatIds,
  formatInsertRequest,
  formatMetadataQuery,
  formatStatus,
  JsonShapeError,
  JsonSyntaxError,
  parseCount,
  parseId,
  parseIdOrNull,
  parseIdSegment,
  parseIds,
  parseInsertRequest,
  parseMetadataQuery,
  parseStatus,
} from '../../src/protocol/producer/requests.ts';
import { type GoldenHttpMessage, type GoldenSession, goldenSessions } from '../support/protocol/golden.ts';

const INSERT = 'POST /producer/submissions HTTP/1.1';
const QUERY = 'POST /producer/submissions/lookup_ids_by_strategic_metadata HTTP/1.1';

/** Inserts that the reference takes and ours refuses, each with its field. */
const REFUSED_BY_OURS: Readonly<Record<string, string>> = {
  '{"chunk_contents":{"SeeObjectStorage":{"prefix":"size-zero","count":1}},"chunk_size":0}': 'chunk_size',
  '{"chunk_contents":{"SeeObjectStorage":{"prefix":"size-negative","count":1}},"chunk_size":-3}':
    'chunk_size',
  '{"chunk_contents":{"SeeObjectStorage":{"prefix":"","count":1}}}': 'chunk_contents.SeeObjectStorage.prefix',
  '{"chunk_contents":{"SeeObjectStorage":{"prefix":"a/b c","count":1}}}':
    'chunk_contents.SeeObjectStorage.prefix',
};

suite('recorded HTTP bodies', () => {
  test('every insert that the reference took is read, but for those that ours refuses on purpose', () => {
    const refused: Record<string, string> = {};
    for (const { body, status } of exchanges(INSERT)) {
      if (status !== 200 || body === null) continue;
      try {
        parseInsertRequest(body);
      } catch (error) {
        assert.ok(error instanceof JsonShapeError, String(error));
        refused[body.toString()] = error.field;
      }
    }
    assert.deepEqual(refused, REFUSED_BY_OURS);
  });

  test('every insert of the reference client is written with the recorded bytes', () => {
    let count = 0;
    for (const { session, body } of exchanges(INSERT)) {
      if (!session.client.startsWith('official') || body === null) continue;
      // The last insert of these sessions is a raw client's, with the least fields.
      if (body.includes('"traced"')) continue;
      assert.equal(text(formatInsertRequest(parseInsertRequest(body))), body.toString(), session.name);
      count++;
    }
    assert.ok(count >= 14, `${count} inserts`);
  });

  test('an insert is read in all its recorded forms', () => {
    const bodies = exchanges(INSERT)
      .filter(({ session }) => session.name === 'insert_raw_variants')
      .map(({ body }) => String(body))
      .filter((body) => REFUSED_BY_OURS[body] === undefined);
    const expected = (prefix: string) => ({
      contents: { kind: 'object_storage', prefix, count: 1 },
      metadata: null,
      strategicMetadata: new Map(),
      chunkSizeOps: null,
      retryDelayMs: 0,
      retry: null,
      failureMode: 'fail',
    });
    assert.deepEqual(bodies.map(parseInsertRequest), [
      expected('least-fields'),
      expected('unknown-fields'),
      expected('charset'),
      { ...expected('other-order'), metadata: new Uint8Array(0), chunkSizeOps: 2 },
      expected('as-array'),
      { ...expected(''), contents: { kind: 'direct', contents: [] } },
    ]);
  });

  test('metadata of every size comes through', () => {
    const [exchange] = exchanges(INSERT).filter(
      ({ session }) => session.name === 'insert_strategic_metadata',
    );
    assert.deepEqual(
      parseInsertRequest(String(exchange?.body)).strategicMetadata,
      new Map([
        ['big', 9007199254740993n],
        ['negative', -7n],
        ['company_id', 42n],
        ['least', -9223372036854775808n],
        ['greatest', 9223372036854775807n],
        ['zero', 0n],
      ]),
    );
  });

  for (const [line, parse] of [
    [INSERT, parseInsertRequest],
    [QUERY, parseMetadataQuery],
  ] as const) {
    test(`malformed JSON (400) and JSON of a wrong shape (422) are told apart: ${line}`, () => {
      let count = 0;
      for (const { session, body, status } of exchanges(line)) {
        if (session.name !== 'malformed_json' && session.name !== 'wrong_type') continue;
        assert.ok(body !== null);
        const wanted = status === 400 ? JsonSyntaxError : JsonShapeError;
        assert.throws(() => parse(body), wanted, body.toString());
        count++;
      }
      assert.ok(count >= 6, `${count} bodies`);
    });
  }

  test('every status is read and written again with the recorded bytes, to the microsecond', () => {
    const states: Record<string, number> = {};
    for (const session of goldenSessions('http.json')) {
      for (const { answer } of pairs(session, (line) =>
        /^(GET|POST) \/producer\/submissions\/(cancel\/)?[0-9]+ /.test(line),
      )) {
        const body = answer.body ?? '';
        if (!body.startsWith('{')) continue;
        const status = parseStatus(body);
        assertSameStatus(text(formatStatus(status)), oneTimeOfFailure(body), session.name);
        states[String(status?.state)] = (states[String(status?.state)] ?? 0) + 1;
      }
    }
    assert.deepEqual(Object.keys(states).sort(), ['cancelled', 'completed', 'failed', 'in_progress']);
  });

  test('an unknown submission is null', () => {
    assert.equal(parseStatus('null'), null);
    assert.equal(text(formatStatus(null)), 'null');
  });

  test('ids, counts and look-ups are read and written as recorded', () => {
    const id = '7530730140486074368';
    assert.equal(text(formatId(parseId(id))), id);
    assert.equal(text(formatIdOrNull(parseIdOrNull(id))), id);
    assert.equal(text(formatIdOrNull(parseIdOrNull('null'))), 'null');
    assert.equal(text(formatCount(parseCount('1'))), '1');
    let lookups = 0;
    for (const { session, body, answer } of exchanges(QUERY)) {
      if (session.name === 'malformed_json' || session.name === 'wrong_type' || body === null) continue;
      assert.equal(text(formatMetadataQuery(parseMetadataQuery(body))), body.toString());
      const recorded = answer.body ?? '';
      if (recorded.startsWith('[')) assert.equal(text(formatIds(parseIds(recorded))), recorded);
      else assert.equal(text(formatCount(parseCount(recorded))), recorded);
      lookups++;
    }
    assert.ok(lookups >= 7, `${lookups} look-ups`);
  });

  test('an id in a path is taken or refused as recorded', () => {
    let count = 0;
    for (const session of goldenSessions('http.json')) {
      if (session.name !== 'bad_id_in_path') continue;
      for (const { request, answer } of pairs(session, () => true)) {
        const path = request.request_line?.split(' ')[1] ?? '';
        const id = parseIdSegment(decodeURIComponent(path.slice(path.lastIndexOf('/') + 1)));
        assert.equal(id === null, answer.status_line?.includes(' 400 '), path);
        count++;
      }
    }
    assert.equal(count, 13);
  });
});

interface Exchange {
  readonly session: GoldenSession;
  readonly request: GoldenHttpMessage;
  /** null where the recording left it out. */
  readonly body: Buffer | null;
  readonly answer: GoldenHttpMessage;
  readonly status: number;
}

function exchanges(requestLine: string): Exchange[] {
  return goldenSessions('http.json').flatMap((session) => pairs(session, (line) => line === requestLine));
}

/** Requests with their answers, in the order of each connection. */
function pairs(session: GoldenSession, wanted: (requestLine: string) => boolean): Exchange[] {
  const found: Exchange[] = [];
  const waiting = new Map<number, GoldenHttpMessage[]>();
  for (const message of session.messages) {
    if (message.kind === 'request') {
      waiting.set(message.conn, [...(waiting.get(message.conn) ?? []), message]);
    } else if (message.kind === 'response') {
      const request = waiting.get(message.conn)?.shift();
      if (request?.request_line === undefined || !wanted(request.request_line)) continue;
      const body =
        request.body_hex !== undefined
          ? Buffer.from(request.body_hex, 'hex')
          : request.body === undefined
            ? null
            : Buffer.from(request.body);
      const status = Number(message.status_line?.split(' ')[1]);
      found.push({ session, request, body, answer: message, status });
    }
  }
  return found;
}

function text(body: Uint8Array): string {
  return Buffer.from(body).toString('utf8');
}

/** A double holds a time of this century to a quarter of a microsecond: times are compared to a microsecond. */
function assertSameStatus(actual: string, recorded: string, session: string): void {
  const [left, right] = [actual, recorded].map((body) => body.replaceAll(TIME, 'TIME'));
  assert.equal(left, right, session);
  const [times, recordedTimes] = [actual, recorded].map((body) => [...body.matchAll(TIME)]);
  for (const [i, [time, fraction]] of times!.entries()) {
    const [recordedTime, recordedFraction] = recordedTimes![i]!;
    assert.equal(time.slice(0, 19), recordedTime.slice(0, 19), session);
    assert.match(time, /[.][0-9]{9}Z$/);
    assert.ok(Math.abs(Number(fraction) - Number(recordedFraction)) <= 1e-6, `${time}, ${recordedTime}`);
  }
}

const TIME = /[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}([.][0-9]+)Z/g;

/** The reference tells a failure twice, with times that differ a little; ours keeps one. */
function oneTimeOfFailure(body: string): string {
  const [, time] = /"failed_at":"([^"]*)"/.exec(body) ?? [];
  return time === undefined ? body : body.replaceAll(/"failed_at":"[^"]*"/g, `"failed_at":"${time}"`);
}
