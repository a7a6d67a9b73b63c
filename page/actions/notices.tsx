import { useEffect } from 'preact/hooks';
import { Store, useStore } from '../lib/store.ts';
import { Foreign } from '../ui/text.tsx';

/** What is said below the page, with one thing to do about it. */
export interface Notice {
  readonly text: string;
  readonly isBad?: boolean;
  /** Pressed, it takes the notice away. */
  readonly button?: { readonly label: string; press(): void };
  /** Nobody can close it: it goes when the line at its edge has run out, or with an answer. */
  readonly stays?: 'running-out' | 'until-answer';
}

/** Those that stay are all there; of the others, the latest is shown. */
const notices = new Store<readonly Notice[]>([]);
const SHOWN_MS = 8_000;

/** Returns what takes it away again. */
export function say(what: Notice): () => void {
  const staying = notices.value.filter(({ stays }) => stays !== undefined);
  notices.set([...staying, what]);
  return () => takeAway(what);
}

function takeAway(what: Notice): void {
  if (notices.value.includes(what)) notices.set(notices.value.filter((each) => each !== what));
}

export function Notices() {
  const shown = useStore(notices);
  const [latest] = shown.slice(-1);
  useEffect(() => {
    if (latest === undefined || latest.stays !== undefined || latest.isBad) return;
    const timer = setTimeout(() => takeAway(latest), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [latest]);
  return (
    <div class="notices" role="status">
      {shown.map((each) => (
        <div key={keyOf(each)} class={`notice ${each.isBad ? 'bad' : ''}`}>
          <span>
            <Foreign text={each.text} />
          </span>
          {each.button === undefined ? null : (
            <button
              type="button"
              onClick={() => {
                takeAway(each);
                each.button?.press();
              }}
            >
              {each.button.label}
            </button>
          )}
          <button
            type="button"
            class="quiet"
            onClick={() => takeAway(each)}
            hidden={each.stays !== undefined}
          >
            Close
          </button>
          {each.stays === undefined ? null : <i class={each.stays} />}
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
