import type { Frame } from './lists.ts';

/** What may keep a submission, or all, from going on, in the order in which it is looked at; `running`: nothing does. */
export const WHY_CODES = [
  'stopping',
  'store_stuck',
  'queue_paused',
  'nothing_open',
  'submission_paused',
  'not_started',
  'end_uncommitted',
  'all_fail',
  'all_reserved',
  'all_delayed',
  'no_consumers',
  'excluded',
  'consumers_full',
  'outranked',
  'consumers_busy',
  'running',
] as const;
export type WhyCode = (typeof WHY_CODES)[number] | 'ended';

/** What each looks at, said so that "yes" is good news. */
export const WHY_NAMES: Readonly<Record<WhyCode, string>> = {
  stopping: 'server is up',
  store_stuck: 'store takes writes',
  queue_paused: 'queue is not paused',
  nothing_open: 'there is open work',
  submission_paused: 'work is not paused',
  not_started: 'work may begin',
  end_uncommitted: 'chunks are left',
  all_fail: 'some tries succeed',
  all_reserved: 'some are not in flight',
  all_delayed: 'some need not wait',
  no_consumers: 'consumers are there',
  excluded: 'strategies allow it',
  consumers_full: 'consumers have room',
  outranked: 'it is its turn',
  consumers_busy: 'consumers are free',
  running: 'work goes on',
  ended: 'it has ended',
};

export interface WhyCheck {
  readonly code: WhyCode;
  /** It does not keep anything from going on. */
  readonly ok: boolean;
  /** What was found, with numbers. */
  readonly evidence: string;
  /** What to do about it; null if nothing. */
  readonly advice: string | null;
  /** What to type for that in a shell; null: there is no command for it. */
  readonly command: string | null;
}

/** `GET /api/v1/why`. */
export interface Why extends Frame {
  /** null: of all that is open. */
  readonly submission: string | null;
  readonly queue: string | null;
  /** Chunks of it that are neither done nor set aside. */
  readonly backlog: number;
  /** Work goes on, or has ended. */
  readonly ok: boolean;
  /** The code of the first check that is not ok. */
  readonly verdict: WhyCode;
  readonly text: string;
  readonly advice: string | null;
  readonly command: string | null;
  /** Up to the verdict, which is the last one. */
  readonly checks: readonly WhyCheck[];
}

/** What to do, for a terminal: with the command for it. */
export function adviceWithCommand({ advice, command }: Pick<WhyCheck, 'advice' | 'command'>): string | null {
  return advice === null || command === null ? advice : `${advice} (${command})`;
}
