import { type Control, DEADLINE_CANCELLATION } from '../model/control.ts';
import type { StrategicMetadata } from '../model/submission.ts';
import type { Effects } from './effects.ts';
import type { Ledger } from './ledger.ts';
import type { Outcomes } from './outcomes.ts';
import type { ScheduledSubmission } from './state.ts';
import type { ControlAt } from './types.ts';

/** The wall clock may be set, and a machine may sleep: it is looked at this often while a submission depends on it. */
export const WALL_CLOCK_LOOK_MS = 60_000;

/**
 * Pauses, starts and deadlines of submissions, and other metadata for them: brings the schedule in line with their
 * controls, whenever one changes or the wall clock shows the time of one.
 */
export class Controls<Peer> {
  readonly #ledger: Ledger<Peer>;
  readonly #outcomes: Outcomes<Peer>;
  readonly #effects: Effects<Peer>;
  /** What the wall clock showed when the other one, which never steps back, was at 0. */
  #unixZeroMs = 0;

  constructor(ledger: Ledger<Peer>, outcomes: Outcomes<Peer>, effects: Effects<Peer>) {
    this.#ledger = ledger;
    this.#outcomes = outcomes;
    this.#effects = effects;
  }

  change(submission: ScheduledSubmission<Peer>, { control, unixMs }: ControlAt, nowMs: number): void {
    this.#unixZeroMs = unixMs - nowMs;
    submission.control = control;
    const wanted = control.strategicMetadata ?? submission.insertedMetadata;
    if (!isSame(wanted, submission.record.strategicMetadata)) this.#ledger.reassign(submission, wanted);
    this.#settle(submission, nowMs);
  }

  /** @param unixMs default: the wall clock has gone as fast as the other one since it was last told */
  advance(nowMs: number, unixMs: number = this.#unixZeroMs + nowMs): void {
    this.#unixZeroMs = unixMs - nowMs;
    const { appointments } = this.#ledger;
    for (let first = appointments.first; first !== undefined && this.#isPast(first.dueUnixMs, nowMs); ) {
      const { submission } = first;
      const wasWithheld = submission.isWithheld;
      this.#settle(submission, nowMs);
      if (wasWithheld && !submission.isWithheld && submission.state === 'open')
        this.#effects.push({ kind: 'begun', submission });
      first = appointments.first;
    }
  }

  /** When `advance` is due next; undefined if time changes nothing. */
  nextMs(nowMs: number): number | undefined {
    const { first } = this.#ledger.appointments;
    if (first === undefined) return undefined;
    return Math.min(first.dueUnixMs - this.#unixZeroMs, nowMs + WALL_CLOCK_LOOK_MS);
  }

  #settle(submission: ScheduledSubmission<Peer>, nowMs: number): void {
    const { pauses, startAfterMs, deadlineMs }: Control = submission.control;
    if (deadlineMs !== null && this.#isPast(deadlineMs, nowMs)) {
      this.#outcomes.end(submission, { state: 'cancelled', ...DEADLINE_CANCELLATION });
      return;
    }
    const isEarly = startAfterMs !== null && !this.#isPast(startAfterMs, nowMs);
    this.#ledger.withhold(submission, isEarly || pauses.length > 0);
    const startMs = isEarly ? startAfterMs : Number.POSITIVE_INFINITY;
    this.#ledger.appoint(submission, Math.min(startMs, deadlineMs ?? Number.POSITIVE_INFINITY));
  }

  #isPast(dueUnixMs: number, nowMs: number): boolean {
    return dueUnixMs - this.#unixZeroMs <= nowMs;
  }
}

function isSame(a: StrategicMetadata, b: StrategicMetadata): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
