import type { Deviation } from '../support/replay/deviation.ts';

/**
 * Every deliberate difference between our server and the recordings. All else is the same, but for what varies from
 * run to run (ids, dates, `conn_id`) and these general ones, which test/support/replay knows:
 *
 * - The version is ours.
 * - The wording of errors of the request is ours; status and content type are not.
 * - `otel_trace_carrier` holds the trace headers of the insert. The reference loses them at its default log level and
 *   tells a span of its own.
 * - `strategic_metadata` comes in the order of the insert. The reference's order is neither that nor sorted.
 * - Empty PONGs, so that old clients need not wait for TCP acknowledgements.
 */
export const DEVIATIONS: readonly Deviation[] = [
  {
    session: 'insert_zero_chunks',
    message: 4,
    differs: {
      kind: 'answer',
      body: '{"Completed":{"id":7530730143292063744,"prefix":"01a20a1c-a9c7-7b82-867b-7b4f022e385d","chunks_total":0,"chunk_size":20,"metadata":null,"strategic_metadata":{},"completed_at":"2026-11-23T20:33:00.361993551Z","otel_trace_carrier":"{}"}}',
    },
    reason: 'ended submissions keep their chunk size; the reference forgets it',
  },
  ...[27, 32].map((message) => ({
    session: 'insert_raw_variants',
    message,
    differs: refused(422),
    reason: 'a chunk size of 0 or below means nothing',
  })),
  {
    session: 'insert_raw_variants',
    message: 37,
    differs: refused(422),
    reason: 'an empty prefix is no folder',
  },
  {
    session: 'unknown_path',
    message: 2,
    differs: {
      kind: 'answer',
      statusLine: 'HTTP/1.1 200 OK',
      headers: [
        ...['content-type', 'content-length', 'cache-control', 'content-security-policy'],
        ...['x-content-type-options', 'referrer-policy', 'cross-origin-opener-policy'],
        ...['cross-origin-resource-policy', 'date'],
      ],
      anyBody: true,
    },
    reason: 'the page for people is at /, unless --page is off',
  },
  {
    session: 'insert_same_prefix_twice',
    message: 7,
    differs: { kind: 'same id' },
    reason: 'the prefix is an idempotency key: clients send an insert again when its answer is lost',
  },
  {
    session: 'lookup_id_by_prefix',
    message: 9,
    differs: { kind: 'answer', body: '7530730150070059008' },
    reason: 'a cancelled submission is found, too',
  },
  {
    session: 'lookup_id_by_prefix_escaped',
    message: 2,
    differs: refused(422),
    reason: 'a prefix is a folder of the object store: no slash, no space',
  },
  {
    session: 'lookup_id_by_prefix_escaped',
    message: 7,
    differs: { kind: 'answer', body: 'null' },
    reason: 'that one was refused',
  },
  {
    session: 'panic',
    message: 2,
    differs: {
      kind: 'answer',
      statusLine: 'HTTP/1.1 404 Not Found',
      headers: ['content-length', 'date'],
      body: '',
    },
    reason: 'there is no path that panics',
  },
  {
    session: 'panic',
    message: 7,
    differs: refused(422),
    reason: 'a submission has at most 2^32 chunks',
  },
  {
    session: 'ping_unhealthy',
    message: 2,
    differs: {
      kind: 'answer',
      statusLine: 'HTTP/1.1 200 OK',
      body: 'pong',
    },
    reason: 'the port opens when the queue is loaded, so that there is no first moment without health',
  },
  {
    session: 'expired_message_after_completion',
    message: 9,
    differs: { kind: 'not sent' },
    reason: 'a completed chunk does not expire',
  },
  {
    session: 'client_data_resets_heartbeat',
    message: 18,
    differs: { kind: 'not sent' },
    reason: 'nothing is seen of it by a client that has reset the connection',
  },
  ...[11, 12, 13, 14, 15].map((message) => ({
    session: 'server_stops_answering',
    message,
    differs: { kind: 'not sent' as const },
    reason: 'the recorded server was halted for 3.5 s; ours is not, so that its client would not give up',
  })),
  {
    session: 'client_close_frame',
    message: 9,
    differs: { kind: 'close frame', code: 1000 },
    reason: 'a close frame is answered, as RFC 6455 wants it',
  },
  {
    session: 'client_close_frame_empty',
    message: 5,
    differs: { kind: 'close frame', code: null },
    reason: 'a close frame is answered, as RFC 6455 wants it',
  },
  {
    session: 'server_sigterm',
    message: 12,
    differs: { kind: 'close frame', code: null },
    reason: 'SIGTERM ends the server in good order, like SIGINT',
  },
  {
    session: 'held_reservation_not_woken_by_freed_chunks',
    message: 15,
    differs: { kind: 'not sent' },
    reason: 'the failed chunk went to the consumer that waited for longer, at once (message 18)',
  },
  {
    session: 'prefer_distinct_counts_survive_a_disconnect',
    message: 13,
    differs: { kind: 'as message', message: 5 },
    reason: 'nothing is in flight any more when the connection is gone, so that the oldest is due',
  },
  ...Object.entries({
    garbage_text_frame: [6, 1003],
    garbage_undecodable_cbor: [5, 1007],
    garbage_empty_binary: [6, 1007],
    garbage_wrong_shape: [6, 1007],
    garbage_unknown_strategy: [5, 1007],
    garbage_unknown_message: [5, 1007],
    garbage_negative_max: [5, 1007],
    garbage_missing_nonce: [7, 1007],
    garbage_unmasked_frame: [6, 1002],
    garbage_reserved_bit: [5, 1002],
    refused_indefinite_key: [5, 1007],
    refused_indefinite_enum_map: [6, 1007],
    refused_struct_as_array: [6, 1007],
  } as const).map(([session, [message, code]]) => ({
    session,
    message,
    differs: { kind: 'close frame' as const, code },
    reason: 'a peer that sends garbage is told what is wrong with it',
  })),
];

/** Another status than success, with words of ours. */
function refused(status: 422) {
  return {
    kind: 'answer' as const,
    statusLine: `HTTP/1.1 ${status} Unprocessable Entity`,
    headers: ['content-type', 'content-length', 'date'],
    anyBody: true,
  };
}
