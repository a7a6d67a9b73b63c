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

/** Those that wait each stay until they are taken away; of the others, the latest is shown. */
const notices = new Store<readonly Notice[]>([]);
const SHOWN_MS = 8_000;

/** Returns what takes it away again. */
export function say(what: Notice): () => void {
  const waiting = notices.value.filter(({ waitMs }) => waitMs !== undefined);
  notices.set([...waiting, what]);
  return () => takeAway(what);
}

function takeAway(what: Notice): void {
  if (notices.value.includes(what)) notices.set(notices.value.filter((each) => each !== what));
}

export function Notices() {
  const shown = useStore(notices);
  const [latest] = shown.slice(-1);
  useEffect(() => {
    if (latest === undefined || latest.waitMs !== undefined || latest.isBad) return;
    const timer = setTimeout(() => takeAway(latest), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [latest]);
  return (
    <div class="notices" role="status">
      {shown.map((each) => (
        <div key={keyOf(each)} class={`notice ${each.isBad ? 'bad' : ''}`}>
          <span>{each.text}</span>
          {each.button === undefined ? null : (
            <button type="button" onClick={each.button.press}>
              {each.button.label}
            </button>
          )}
          <button
            type="button"
            class="quiet"
            onClick={() => takeAway(each)}
            hidden={each.waitMs !== undefined}
          >
            Close
          </button>
          {each.waitMs === undefined ? null : <i class="running-out" />}
        </div>
      ))}
    </div>
  );
}

const keys = new WeakMap<Notice, number>();
let lastKey = 0;

function keyOf(notice: Notice): number {
  const key = keys.get(notice) ?? ++lastKey;
  keys.set(notice, key);
  return key;
}
