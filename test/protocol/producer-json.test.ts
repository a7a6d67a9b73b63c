import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { SUBMISSION_ID_MAX } from '../../src/model/ids.ts';
import {
  CHUNKS_PER_SUBMISSION_MAX,
  DIRECT_CHUNKS_MAX,
  META_KEY_BYTES_MAX,
  META_PAIRS_MAX,
} from '../../src/model/limits.ts';
import {
  formatChunksDone,
  formatErrorText,
  formatFailedChunks,
  formatId,
  formatIdOrNull,
  formatIds,
  formatInsertRequest,
  formatKnownAnswer,
  formatKnownRequest,
  formatMetadataQuery,
  formatStatus,
  JsonShapeError,
  JsonSyntaxError,
  KNOWN_PREFIXES_MAX,
  parseChunksDone,
  parseFailedChunks,
  parseId,
  parseIdOrNull,
  parseIds,
  parseInsertRequest,
  parseKnownAnswer,
  parseKnownRequest,
  parseMetadataQuery,
  parseStatus,
} from '../../src/protocol/producer/requests.ts';
import { plainInsert } from '../support/protocol/plain-json.ts';
import {
  chunksDoneAnswers,
  collectingStatuses,
  failedChunkLists,
  insertRequests,
  metadataPairs,
  prefixes,
  submissionIds,
  submissionStatuses,
} from '../support/protocol/protocol-arbitraries.ts';

suite('bodies of the producer protocol', () => {
  test('every body comes back as it was', () => {
    const roundTrips: readonly [
      fc.Arbitrary<unknown>,
      (value: never) => Uint8Array,
      (body: Uint8Array) => unknown,
    ][] = [
      [insertRequests(), formatInsertRequest, parseInsertRequest],
      [fc.option(submissionStatuses()), formatStatus, parseStatus],
      [chunksDoneAnswers(), formatChunksDone, parseChunksDone],
      [submissionIds(), formatId, parseId],
      [fc.option(submissionIds()), formatIdOrNull, parseIdOrNull],
      [fc.array(submissionIds()), formatIds, parseIds],
      [metadataPairs(), formatMetadataQuery, parseMetadataQuery],
      [fc.array(prefixes(), { maxLength: 5 }), formatKnownRequest, parseKnownRequest],
      [fc.array(fc.boolean()), formatKnownAnswer, parseKnownAnswer],
      [failedChunkLists(), formatFailedChunks, parseFailedChunks],
    ];
    for (const [values, format, parse] of roundTrips) {
      fc.assert(
        fc.property(values, (value) => {
          assert.deepEqual(parse(format(value as never)), value);
        }),
        { numRuns: 150 },
      );
    }
  });

  test('an independent reader finds the documented shapes in what we write', () => {
    fc.assert(
      fc.property(insertRequests(), (request) => {
        assert.deepEqual(JSON.parse(textOf(formatInsertRequest(request))), plainInsert(request));
      }),
      { numRuns: 150 },
    );
    fc.assert(
      fc.property(submissionStatuses(), (status) => {
        const parsed = JSON.parse(textOf(formatStatus(status))) as Record<string, unknown>;
        const [name, value] = Object.entries(parsed)[0]!;
        const submission = (Array.isArray(value) ? value[0] : value) as Record<string, unknown>;
        assert.equal(
          name,
          {
            in_progress: 'InProgress',
            completed: 'Completed',
            completed_with_failures: 'Failed',
            failed: 'Failed',
            cancelled: 'Cancelled',
          }[status.state],
        );
        assert.equal(submission.prefix, status.record.prefix);
        assert.equal(submission.chunks_total, status.record.chunksTotal);
        if (status.state === 'in_progress') return;
        const endedAt = submission[`${status.state}_at`];
        assert.equal(endedAt, new Date(status.endedAtMs).toISOString().replace('Z', '000000Z'));
      }),
      { numRuns: 150 },
    );
  });

  test('what only our clients get of a status comes back as it was', () => {
    fc.assert(
      fc.property(submissionStatuses(), insertRequests(), (plain, { retry, retryDelayMs }) => {
        const status = { ...plain, record: { ...plain.record, retry, retryDelayMs } };
        assert.deepEqual(parseStatus(formatStatus(status, true)), status);
      }),
      { numRuns: 150 },
    );
    fc.assert(
      fc.property(collectingStatuses(), (status) => {
        assert.deepEqual(parseStatus(formatStatus(status, true)), status);
      }),
      { numRuns: 150 },
    );
  });

  test('what an independent writer writes is read, spaces, unknown fields and all', () => {
    fc.assert(
      fc.property(insertRequests(), fc.nat(3), (request, indent) => {
        // Integers that JSON.stringify would round are another test's.
        const safe = { ...request, strategicMetadata: new Map([['a', -7n]]) };
        const plain = {
          unknown: [{ nested: ['\\u0000"', 1e3, null, true] }],
          ...plainInsert(safe),
          other: 'x',
        };
        assert.deepEqual(parseInsertRequest(JSON.stringify(plain, null, indent)), safe);
      }),
      { numRuns: 150 },
    );
  });

  test('every body is refused when it is cut anywhere', () => {
    fc.assert(
      fc.property(insertRequests(), submissionStatuses(), (request, status) => {
        const insert = formatInsertRequest(request);
        for (let end = 0; end < insert.length; end += 1 + (end >> 6)) {
          assert.throws(() => parseInsertRequest(insert.subarray(0, end)), JsonSyntaxError);
        }
        const body = formatStatus(status);
        for (let end = 0; end < body.length; end += 1 + (end >> 6)) {
          assert.throws(() => parseStatus(body.subarray(0, end)), JsonSyntaxError);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('damaged bodies are read or refused, and malformed ones are what JSON.parse calls malformed', () => {
    const change = fc.record({
      at: fc.nat(),
      byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('[]{},:"\\-0.en '))),
    });
    fc.assert(
      fc.property(insertRequests(), fc.array(change, { minLength: 1, maxLength: 3 }), (request, changes) => {
        const body = Uint8Array.from(formatInsertRequest(request));
        for (const { at, byte } of changes) body[at % body.length] = byte;
        const outcome = outcomeOf(() => parseInsertRequest(body));
        // Of a body with two faults the first one tells, so that a shape may be wrong before the text is.
        if (outcome === 'read') assert.ok(isJson(body), textOf(body));
        if (outcome === 'malformed') assert.ok(!isJson(body) || hasHalfSurrogate(body), textOf(body));
      }),
      { numRuns: 2000 },
    );
  });
});

suite('extremes of the producer protocol', () => {
  test('16 MB of direct contents come through', () => {
    const content = new Uint8Array(16 * 1024 * 1024);
    for (let i = 0; i < content.length; i++) content[i] = (i * 31) >>> 3;
    const request = {
      contents: { kind: 'direct', contents: [content, new Uint8Array(0), null] },
      metadata: null,
      strategicMetadata: new Map(),
      chunkSizeOps: null,
      retryDelayMs: 0,
      retry: null,
      failureMode: 'fail',
    } as const;
    const parsed = parseInsertRequest(formatInsertRequest(request));
    assert.ok(parsed.contents.kind === 'direct');
    assert.deepEqual(parsed.contents.contents.slice(1), [new Uint8Array(0), null]);
    assert.equal(Buffer.compare(parsed.contents.contents[0] ?? new Uint8Array(0), content), 0);
  });

  test('integers are exact to the end of their range, and refused with their value beyond', () => {
    assert.equal(parseId('9223372036854775807'), SUBMISSION_ID_MAX);
    assert.throws(() => parseId('9223372036854775808'), /9223372036854775808/);
    assert.deepEqual(
      parseMetadataQuery('{"a":-9223372036854775808,"b":9223372036854775807}'),
      new Map([
        ['a', -(2n ** 63n)],
        ['b', 2n ** 63n - 1n],
      ]),
    );
    for (const value of [
      '-9223372036854775809',
      '9223372036854775808',
      '1.0',
      '1e3',
      '-0',
      `1${'0'.repeat(1000)}`,
    ]) {
      assert.throws(() => parseMetadataQuery(`{"a":${value}}`), JsonShapeError, value);
    }
    assert.equal(
      parseInsert({ SeeObjectStorage: { prefix: 'p', count: CHUNKS_PER_SUBMISSION_MAX } }).retryDelayMs,
      0,
    );
    assert.throws(
      () => parseInsert({ SeeObjectStorage: { prefix: 'p', count: CHUNKS_PER_SUBMISSION_MAX + 1 } }),
      /4294967297 chunks are more than the 4294967296/,
    );
  });

  test('a number of millions of digits is refused at once and shown in part, and passed over where nobody knows it', (t) => {
    const digits = '9'.repeat(2_000_000);
    // It takes seconds to make a value of them.
    const made = t.mock.method(globalThis, 'BigInt');
    const contents = '"chunk_contents":{"SeeObjectStorage":{"prefix":"p","count":1}}';
    const fields = {
      chunk_size: 'not a signed 64-bit integer',
      retry_delay_ms: 'is not between 0 and',
      metadata: 'an array of bytes was expected',
      chunk_contents: 'an object was expected',
    };
    for (const sign of ['', '-']) {
      for (const [field, what] of Object.entries(fields)) {
        assertShown(() => parseInsertRequest(`{"${field}":${sign}${digits}}`), field, what);
      }
      assertShown(() => parseMetadataQuery(`{"a":${sign}${digits}}`), 'a', 'not a signed 64-bit integer');
      assertShown(
        () => parseInsertRequest(`{"chunk_size":${sign}${digits}.5}`),
        'chunk_size',
        'not an integer',
      );
      assert.equal(parseInsertRequest(`{${contents},"x":${sign}${digits}}`).chunkSizeOps, null);
    }
    assert.equal(parseInsertRequest(`{${contents},"x":[-0,1.5e-7,0.25E+2,7e3]}`).chunkSizeOps, null);
    for (const malformed of ['-', '01', '1.', '1.e3', '1e', '1e+', '+1', '.5', '1-', '--1', `${digits}.`]) {
      assert.throws(
        () => parseInsertRequest(`{${contents},"x":${malformed}}`),
        (error) => error instanceof JsonSyntaxError && error.message.length < 200,
      );
    }
    assert.deepEqual(
      made.mock.calls.filter(({ arguments: [value] }) => String(value).length > 30),
      [],
    );
  });

  test('a key of millions of characters is shown in part', () => {
    const key = 'k'.repeat(1_000_000);
    assert.throws(
      () => parseInsertRequest(`{"${key}":none}`),
      (error) => error instanceof JsonSyntaxError && error.field === `${'k'.repeat(60)}...`,
    );
    assertShown(() => parseMetadataQuery(`{"${key}":null}`), '', 'has more than 256 bytes');
  });

  test('a prefix that could leave its folder is refused', () => {
    for (const prefix of [
      '',
      '.',
      '..',
      '../x',
      'a/b',
      'a\\b',
      'a b',
      '-a',
      'a'.repeat(201),
      'é',
      'a\n',
      'a\0',
    ]) {
      assertShape(
        () => parseInsert({ SeeObjectStorage: { prefix, count: 1 } }),
        'chunk_contents.SeeObjectStorage.prefix',
      );
    }
    for (const prefix of ['a', '0190b5a0-0000-7000-8000-000000000001', 'a..b', 'a'.repeat(200)]) {
      assert.equal(parseInsert({ SeeObjectStorage: { prefix, count: 1 } }).contents.kind, 'object_storage');
    }
  });

  test('keys of metadata have a limit', () => {
    const key = 'é'.repeat(META_KEY_BYTES_MAX / 2);
    assert.equal(parseMetadataQuery(JSON.stringify({ [key]: 1 })).size, 1);
    assert.throws(() => parseMetadataQuery(JSON.stringify({ [`${key}x`]: 1 })), JsonShapeError);
  });

  test('chunks that the queue keeps have a limit', () => {
    const insert = (chunks: number) => {
      const elements = Array.from({ length: chunks }, (_, i) => (i % 2 === 0 ? '[]' : 'null'));
      return parseInsertRequest(`{"chunk_contents":{"Direct":{"contents":[${elements}]}}}`).contents;
    };
    const most = insert(DIRECT_CHUNKS_MAX);
    assert.equal(most.kind === 'direct' && most.contents.length, DIRECT_CHUNKS_MAX);
    assertShown(
      () => insert(DIRECT_CHUNKS_MAX + 1),
      'chunk_contents.Direct.contents',
      '100001 chunks are more than the 100000',
    );
  });

  test('pairs of metadata have a limit, of an insert and of a look-up', () => {
    const pairs = Object.fromEntries(Array.from({ length: META_PAIRS_MAX }, (_, i) => [`k${i}`, i]));
    const contents = { SeeObjectStorage: { prefix: 'p', count: 1 } };
    const insert = (strategic_metadata: object) =>
      parseInsertRequest(JSON.stringify({ chunk_contents: contents, strategic_metadata }));
    assert.equal(insert(pairs).strategicMetadata.size, META_PAIRS_MAX);
    assert.equal(parseMetadataQuery(JSON.stringify(pairs)).size, META_PAIRS_MAX);
    const tooMany = { ...pairs, more: 1 };
    const what = '257 pairs are more than the 256 of a submission';
    assertShown(() => insert(tooMany), 'strategic_metadata', what);
    assertShown(() => parseMetadataQuery(JSON.stringify(tooMany)), '', what);
    assertShown(() => parseMetadataQuery(`{${'"a":1,'.repeat(META_PAIRS_MAX)}"a":1}`), '', what);
  });

  test('a field that comes twice is refused, an equal key of metadata counts for the last', () => {
    const contents = '"chunk_contents":{"SeeObjectStorage":{"prefix":"p","count":1}}';
    assertShape(() => parseInsertRequest(`{${contents},${contents}}`), 'chunk_contents');
    assertShape(() => parseInsertRequest(`{${contents},"metadata":null,"metadata":null}`), 'metadata');
    assert.deepEqual(parseInsertRequest(`{${contents},"x":1,"x":2}`).metadata, null);
    assert.deepEqual(parseMetadataQuery('{"a":1,"a":2}'), new Map([['a', 2n]]));
  });

  test('a retry policy has defaults for what is left out, and bounds that name the field', () => {
    const parse = (retry: string) =>
      parseInsertRequest(`{"chunk_contents":{"Direct":{"contents":[]}},"retry":${retry}}`).retry;
    assert.equal(parse('null'), null);
    assert.deepEqual(parse('{}'), {
      triesMax: null,
      delayMs: 1_000,
      factor: 2,
      delayMsMax: 60_000,
      jitter: 0.5,
    });
    assert.deepEqual(parse('{"tries_max":3,"delay_ms":0.5,"other":[1],"jitter":0}'), {
      triesMax: 3,
      delayMs: 0.5,
      factor: 2,
      delayMsMax: 60_000,
      jitter: 0,
    });
    for (const [field, value] of [
      ['tries_max', '0'],
      ['tries_max', '1.5'],
      ['delay_ms', '-1'],
      ['factor', '0.9'],
      ['delay_ms_max', '1e12'],
      ['jitter', '1.1'],
    ]) {
      assert.throws(
        () => parse(`{"${field}":${value}}`),
        (error) => error instanceof JsonShapeError && error.message.includes(`retry.${field}`),
      );
    }
    for (const other of ['[1]', '5', '"x"']) assert.throws(() => parse(other), JsonShapeError);
  });

  test('structs are taken as arrays, with all their fields', () => {
    const contents = '{"SeeObjectStorage":["p",1]}';
    assert.deepEqual(parseInsertRequest(`[${contents},[1],{"a":1},3]`), {
      contents: { kind: 'object_storage', prefix: 'p', count: 1 },
      metadata: new Uint8Array([1]),
      strategicMetadata: new Map([['a', 1n]]),
      chunkSizeOps: 3,
      retryDelayMs: 0,
      retry: null,
      failureMode: 'fail',
    });
    for (const body of [`[${contents}]`, `[${contents},null,{}]`, `[${contents},null,{},null,5]`]) {
      assert.throws(() => parseInsertRequest(body), JsonShapeError, body);
    }
  });

  test('a key __proto__ is plain data', () => {
    const pairs = parseMetadataQuery('{"__proto__":1,"constructor":2}');
    assert.deepEqual(
      [...pairs],
      [
        ['__proto__', 1n],
        ['constructor', 2n],
      ],
    );
    assert.equal(textOf(formatMetadataQuery(pairs)), '{"__proto__":1,"constructor":2}');
  });

  test('nesting overflows nothing', () => {
    for (const open of ['[', '{"a":']) {
      assert.throws(() => parseInsertRequest(`{"x":${open.repeat(300_000)}`), JsonSyntaxError);
      assert.throws(() => parseInsertRequest(open.repeat(300_000)), /JSON|array|chunk_contents|a: /);
    }
  });

  test('texts with escapes, controls and surrogates', () => {
    assert.equal(
      parseStatus(
        '{"Failed":[{"id":1,"chunks_total":1,"failed_at":"2026-11-23T20:33:01Z"},{"chunk_index":0,"failure":"\\u00e9\\ud83d\\ude00\\n\\/"}]}',
      )?.state,
      'failed',
    );
    for (const text of ['"\\x"', '"\\u12"', '"a\tb"', '"\\ud800"', '"a', '"\\"']) {
      assert.throws(() => parseKnownRequest(`[${text}]`), JsonSyntaxError, text);
    }
    assert.equal(textOf(formatErrorText('a "b"\n')), '"a \\"b\\"\\n"');
  });

  test('a request about too many prefixes is refused', () => {
    const names = Array.from({ length: KNOWN_PREFIXES_MAX + 1 }, (_, i) => `p${i}`);
    assert.equal(parseKnownRequest(formatKnownRequest(names.slice(1))).length, KNOWN_PREFIXES_MAX);
    assert.throws(() => parseKnownRequest(formatKnownRequest(names)), JsonShapeError);
  });

  test('statuses of older servers are read', () => {
    assert.deepEqual(parseStatus('{"InProgress":{"id":5,"prefix":"p","chunks_total":3,"metadata":null}}'), {
      state: 'in_progress',
      record: {
        id: 5n,
        prefix: 'p',
        chunksTotal: 3,
        chunkSizeOps: null,
        metadata: null,
        strategicMetadata: new Map(),
        otelTraceCarrier: '{}',
        retryDelayMs: 0,
        retry: null,
        failureMode: 'fail',
      },
      chunksDone: 0,
      chunksFailed: 0,
    });
    const failed = parseStatus(
      '{"Failed":[{"id":5,"prefix":"p","chunks_total":3,"chunks_done":null,"chunk_size":0,"failed_at":"2026-11-23T21:33:01.5+01:00","failed_chunk_id":1},{"submission_id":5,"chunk_index":1,"input_content":null,"failure":"x","failed_at":"2026-11-23T20:33:01.5Z"}]}',
    );
    assert.ok(failed?.state === 'failed');
    assert.equal(failed.chunksDone, null);
    assert.equal(failed.endedAtMs, Date.UTC(2026, 10, 23, 20, 33, 1, 500));
    assert.equal(failed.record.chunkSizeOps, null);
  });

  test('answers that are no legal ones are refused', () => {
    for (const body of [
      '{}',
      '{"InProgress":{}}',
      '{"InProgress":{"id":1}}',
      '{"Completed":{"id":1,"chunks_total":1}}',
      '{"Completed":{"id":1,"chunks_total":1,"completed_at":"yesterday"}}',
      '{"Failed":[]}',
      '{"Failed":[{"id":1,"chunks_total":1,"failed_at":"2026-11-23T20:33:01Z"}]}',
      '{"InProgress":{"id":1,"chunks_total":1},"Completed":null}',
      '"InProgress"',
      '[]',
      '1',
    ]) {
      assert.throws(() => parseStatus(body), JsonShapeError, body);
    }
    for (const body of [
      '{"state":"x","chunks_total":1,"chunks_done":0,"pages":[],"next_page":null}',
      '{"state":"failed","chunks_total":1,"pages":[],"next_page":null}',
      '{"state":"failed","chunks_total":1,"chunks_done":0,"pages":[[1]],"next_page":null}',
      `{"state":"failed","chunks_total":1,"chunks_done":0,"pages":[[1,"${'A'.repeat(684)}"]],"next_page":null}`,
    ]) {
      assert.throws(() => parseChunksDone(body), JsonShapeError, body);
    }
  });
});

function parseInsert(chunkContents: object) {
  return parseInsertRequest(JSON.stringify({ chunk_contents: chunkContents }));
}

function assertShape(parse: () => unknown, field: string): void {
  assert.throws(parse, (error) => error instanceof JsonShapeError && error.field === field);
}

/** Refused for that, in a text that nobody minds to read. */
function assertShown(parse: () => unknown, field: string, what: string): void {
  assert.throws(
    parse,
    (error) =>
      error instanceof JsonShapeError &&
      error.field === field &&
      error.message.includes(what) &&
      error.message.length < 200,
  );
}

function outcomeOf(parse: () => unknown): 'read' | 'malformed' | 'wrong shape' {
  try {
    parse();
    return 'read';
  } catch (error) {
    if (error instanceof JsonSyntaxError) return 'malformed';
    assert.ok(error instanceof JsonShapeError, String(error));
    return 'wrong shape';
  }
}

function isJson(body: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
    return true;
  } catch {
    return false;
  }
}

/** The only JSON that we call malformed and JSON.parse does not. */
function hasHalfSurrogate(body: Uint8Array): boolean {
  return /\\u[dD][89a-fA-F]/.test(textOf(body));
}

function textOf(body: Uint8Array): string {
  return Buffer.from(body).toString('utf8');
}
