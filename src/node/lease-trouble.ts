import { messageOf } from '../model/thrown.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock } from '../system/time/clock.ts';

/** `look`: no answer about the leases; `write`: they can be looked at, but not taken or renewed. */
type Kind = 'look' | 'write';

interface Trouble {
  readonly kind: Kind;
  readonly error: string;
  readonly sinceMs: number;
}

const NO_LOOK = 'cannot look at the leases';
const NO_COMMIT = 'the database answers, but does not confirm a commit: its synchronous standby may be gone';
const REASONS: Readonly<Record<Kind, string>> = { look: NO_LOOK, write: NO_COMMIT };
const ENDS: Readonly<Record<Kind, string>> = {
  look: 'the leases can be looked at again',
  write: 'leases can be taken and renewed again',
};

/**
 * What keeps a node from its leases, from the first failure to the end of it: a line in the log for each, whatever fails and
 * succeeds meanwhile. A database that waits for its standby answers every look that writes nothing: if anything was to be
 * written, only a commit proves that it is over. Leases that others seem to have prove nothing, since what has been waited
 * for in vain is in the database all the same.
 *
 *     none --a look fails--> look --one succeeds, and nothing was to be renewed when it failed--> none
 *     none, look --what was to be written fails after a look has succeeded--> write --something is committed--> none
 */
export class LeaseTrouble {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #changed: () => void;
  #now: Trouble | null = null;
  #isOfWriting = false;

  /** @param changed is called when {@link now} is another one */
  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }, changed: () => void) {
    this.#clock = clock;
    this.#logger = logger;
    this.#changed = changed;
  }

  /** Whether only a commit proves that it is over. */
  get isOfWriting(): boolean {
    return this.#isOfWriting;
  }

  /** Why this node takes no shards, and since when, in milliseconds since 1970; null: there is no trouble. */
  get now(): { readonly reason: string; readonly sinceMs: number } | null {
    if (this.#now === null) return null;
    const { kind, error, sinceMs } = this.#now;
    return { reason: `${REASONS[kind]} (${error})`, sinceMs };
  }

  /**
   * @param hasLooked whether a look succeeded just before
   * @param isWriting whether leases were to be taken or renewed
   */
  failed(cause: unknown, hasLooked: boolean, isWriting: boolean): void {
    const before = this.#now;
    const kind = hasLooked || before?.kind === 'write' ? 'write' : 'look';
    if (isWriting) this.#isOfWriting = true;
    const error = messageOf(cause);
    this.#now = { kind, error, sinceMs: before?.sinceMs ?? this.#clock.nowMs() };
    if (before?.kind !== kind) this.#logger.warn({ error }, `${REASONS[kind]}, trying again`);
    this.#changed();
  }

  /** A look has succeeded. @param isCommitted whether something was committed as well */
  looked(isCommitted: boolean): void {
    if (this.#now === null || (this.#isOfWriting && !isCommitted)) return;
    this.#logger.info({}, ENDS[this.#now.kind]);
    this.#now = null;
    this.#isOfWriting = false;
    this.#changed();
  }
}
