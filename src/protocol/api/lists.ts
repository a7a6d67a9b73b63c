/**
 * The answers of `/api/v1`, as server, command and page share them: types and tables of names, next to no logic. Ids and values of
 * metadata are texts, times ISO 8601 in UTC, durations milliseconds in fields that end with `_ms`.
 */

/** What every answer begins with. */
export interface Frame extends Missing {
  /** When it was computed. */
  readonly as_of: string;
  /** How old it was when it was sent: answers are computed now and then, for all who ask. */
  readonly age_ms: number;
}

/** Of every answer, whatever its status: when it was sent, in Unix milliseconds. */
export const NOW_HEADER = 'opsqueue-now';
/** Likewise, of which server it is: its name, encoded as in a URL, a slash, and its version. */
export const SERVER_HEADER = 'opsqueue-server';

export function serverText(name: string, version: string): string {
  return `${encodeURIComponent(name)}/${version}`;
}

/** Of what an answer is silent that is of the queues of several nodes. Not there where there is nothing to say. */
export interface Missing {
  /** Addresses of nodes that did not say what they have. */
  readonly nodes_missing?: readonly string[];
  /** How many of the 64 shards are open on no node, for longer than a hand-over takes. */
  readonly shards_missing?: number;
}

/** A list, or a page of one. */
export interface List<Item> extends Frame {
  /** How many there are in all; null where nobody has counted. */
  readonly matched: number | null;
  /** `cursor` of the next page; null at the end. */
  readonly next: string | null;
  readonly items: readonly Item[];
}

/** Two quantiles. */
export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
}

/** Why something was refused: RFC 9457, with the stable code of the error. */
export interface ProblemAnswer {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
}

/** Nothing is handed out of what is paused until every cause is gone. */
export interface PauseItem {
  readonly cause: string;
  readonly by: string;
  readonly reason: string | null;
  readonly since: string;
}

/** A verb that somebody used. */
export interface ActRow {
  readonly verb: string;
  /** To what exactly: the cause of a pause, the values that were set. */
  readonly detail: string;
  readonly by: string;
  readonly reason: string | null;
  readonly at: string;
}
