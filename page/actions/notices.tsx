import { useEffect } from 'preact/hooks';
import { Store, useStore } from '../lib/store.ts';

/** What is said below the page, with one thing to do about it. */
export interface Notice {
  readonly text: string;
  readonly isBad?: boolean;
  readonly button?: { readonly label: string; press(): void };
  /** It waits: a line runs out during this time. */
  readonly waitMs?: number;
}

const notice = new Store<Notice | null>(null);
const SHOWN_MS = 8_000;

export function say(what: Notice | null): void {
  notice.set(what);
}

export function Notices() {
  const shown = useStore(notice);
  useEffect(() => {
    if (shown === null || shown.waitMs !== undefined || shown.isBad) return;
    const timer = setTimeout(() => notice.value === shown && notice.set(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [shown]);
  return (
    <div class="notices" role="status">
      {shown === null ? null : (
        <div class={`notice ${shown.isBad ? 'bad' : ''}`}>
          <span>{shown.text}</span>
          {shown.button === undefined ? null : (
            <button type="button" onClick={shown.button.press}>
              {shown.button.label}
            </button>
          )}
          <button type="button" class="quiet" onClick={() => say(null)} hidden={shown.waitMs !== undefined}>
            Close
          </button>
          {shown.waitMs === undefined ? null : <i class="running-out" />}
        </div>
      )}
    </div>
  );
}
