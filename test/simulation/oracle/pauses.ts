import type { SubmissionId } from '../../../src/model/ids.ts';
import type { Row } from './rows.ts';
import { must } from './violation.ts';

/** The wall clock of a process may leap ahead by this for a moment. */
const WALL_LEAP_MS = 5_010;

/** Causes of pauses that hold for certain: acknowledged, and no resume asked for since. By id, or `queue NAME`, `server`. */
export class Pauses {
  readonly #causes = new Map<string, Set<string>>();
  readonly #resumesAsked = new Map<string, number>();

  /** From now on a pause of that cause need not hold. */
  resumeAsked(what: string, cause: string): void {
    this.#resumesAsked.set(`${what} ${cause}`, this.resumesAskedOf(what, cause) + 1);
    this.#causes.get(what)?.delete(cause);
  }

  resumesAskedOf(what: string, cause: string): number {
    return this.#resumesAsked.get(`${what} ${cause}`) ?? 0;
  }

  /** @param resumesAsked as of when it was asked for. Returns whether it holds. */
  acknowledged(what: string, cause: string, resumesAsked: number): boolean {
    if (this.resumesAskedOf(what, cause) !== resumesAsked) return false;
    this.#causes.set(what, (this.#causes.get(what) ?? new Set()).add(cause));
    return true;
  }

  /** @param wallMs of the process that hands it out */
  mustNotHold(id: SubmissionId, row: Row | undefined, wallMs: number): void {
    const { startAfterMs = null } = row?.control ?? {};
    must(
      startAfterMs === null || wallMs >= startAfterMs - WALL_LEAP_MS,
      () => `${id} is handed out ${(startAfterMs ?? 0) - wallMs} ms before its start`,
    );
    if (this.#causes.size === 0) return;
    for (const what of [String(id), `queue ${row?.record.queue}`, 'server']) {
      const causes = [...(this.#causes.get(what) ?? [])].join(', ');
      must(causes === '', () => `${id} is handed out, but ${what} is paused for ${causes}`);
    }
  }
}
