/** Chunks of one submission: 2^32 at most. Beyond, an insert is refused with 422. */
export const CHUNKS_PER_SUBMISSION_MAX = 2 ** 32;

/** Operations of one submission: 2^48 at most, so that their sums are exact. Beyond, an insert is refused with 422. */
export const OPERATIONS_PER_SUBMISSION_MAX = 2 ** 48;

/** Chunks of one `Direct` submission, which the queue holds in memory while it takes them in. Beyond, 422. */
export const DIRECT_CHUNKS_MAX = 100_000;

/** Chunks that one answer to a reservation carries at most, whatever `max` asked for. */
export const CHUNKS_PER_ANSWER_MAX = 1_000;

/** Bytes that one answer to a reservation carries at most, unless its first chunk alone has more. */
export const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

/**
 * What the limits of one WebSocket message and one HTTP request body can be set to at most, in bytes: a text of that
 * size fits a string (512 MiB), and a few contents together fit a row of the database (10^9).
 */
export const MESSAGE_BYTES_MAX = 256 * 1024 * 1024;

/** Default limit of one WebSocket message, in bytes. */
export const FRAME_BYTES_MAX_DEFAULT = 64 * 1024 * 1024;

/** A WebSocket message must be complete so long after its first byte, in milliseconds: as long as an HTTP request may take. */
export const MESSAGE_TIMEOUT_MS_DEFAULT = 120_000;

/** Default limit of one HTTP request body, in bytes (the reference: 2 MiB). */
export const BODY_BYTES_MAX_DEFAULT = 32 * 1024 * 1024;

/** Memory of all HTTP request bodies that are being read together; an option of the server. */
export const BODIES_BYTES_MAX_DEFAULT = 256 * 1024 * 1024;

/**
 * Bytes of what the queue keeps in one piece, whatever larger messages it is made to take: an input or output of a
 * `Direct` submission, the metadata of a submission, the text of a failure. A row of the database has three of them
 * at most and is below SQLite's 1 000 000 000 bytes with them; what is larger could never be written.
 */
export const KEPT_BYTES_MAX = 256 * 1024 * 1024;

/** An HTTP answer of which the peer takes nothing for so long is given up, in milliseconds. */
export const ANSWER_STALL_MS_DEFAULT = 60_000;

/** Connections at one address; an option of the server. Further ones are closed as they come. */
export const CONNECTIONS_MAX_DEFAULT = 10_000;

/** How deep strategies may nest. */
export const STRATEGY_DEPTH_MAX = 16;

/** Strategies that one strategy may be made of, itself included. */
export const STRATEGY_PARTS_MAX = 32;

/** Values of one `SelectOnly` or `SelectExcept`. */
export const SELECT_VALUES_MAX = 256;

/**
 * Different strategies that one connection may use within {@link STRATEGIES_PERIOD_MS}: as many as the queue keeps ready.
 * The first use of one costs the queue a look at every open submission. Beyond, a reservation is refused.
 */
export const STRATEGIES_OF_CONNECTION_MAX = 32;

/** A strategy that a connection has not used for so long does not count any more, in milliseconds. */
export const STRATEGIES_PERIOD_MS = 60_000;

/** Length of a key of a strategy or of strategic metadata, in UTF-8 bytes. */
export const META_KEY_BYTES_MAX = 256;

/** Pairs of strategic metadata of one submission, and of one look-up. Beyond, 422. */
export const META_PAIRS_MAX = 256;

/** Values of strategic metadata: signed 64-bit. */
export const META_VALUE_MIN = -(1n << 63n);
export const META_VALUE_MAX = (1n << 63n) - 1n;

/** Queues that are in use at the same time on a node, besides the unnamed one. */
export const QUEUES_MAX = 1_000;

/** What a prefix must look like: it becomes a folder in the object store. */
export const PREFIX_PATTERN = /^[0-9A-Za-z][0-9A-Za-z._-]{0,199}$/;
