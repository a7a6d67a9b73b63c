import type { ComponentChildren } from 'preact';
import { compact, count, duration } from '../../src/protocol/api/words.ts';
import type { ApiError } from '../lib/api.ts';
import { now } from '../lib/clock.ts';
import { absolute, ago, clockTime, zoneName } from '../lib/format.ts';
import { type Feed, live } from '../lib/live.ts';
import { preferences } from '../lib/preferences.ts';
import { useStore } from '../lib/store.ts';
import { visible, visibleLine } from '../lib/visible-text.ts';

/** What a client has set, on one line. */
export function Foreign({ text }: { readonly text: string }) {
  return <bdi>{visibleLine(text)}</bdi>;
}

/** Likewise, of several lines. */
export function ForeignBlock({ text }: { readonly text: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by keys as well
    <pre class="block" tabIndex={0}>
      {visible(text)}
    </pre>
  );
}

/** The first line, with the others on demand. */
export function Unfolding({ text }: { readonly text: string }) {
  const [first = '', ...others] = text.split('\n');
  if (others.every((line) => line.trim() === '')) return <Foreign text={first} />;
  return (
    <details>
      <summary>
        <Foreign text={first} />
      </summary>
      <ForeignBlock text={text} />
    </details>
  );
}

/** A large number, short, with all its digits in the title. */
export function Amount({ value }: { readonly value: number }) {
  const short = compact(value);
  const full = count(value);
  return short === full ? full : <span title={full}>{short}</span>;
}

/** When something was: how long ago, with the time in the title. */
export function Ago({ at }: { readonly at: string }) {
  const { isUtc } = useStore(preferences);
  const nowMs = useStore(now);
  const ms = Date.parse(at);
  return (
    <time dateTime={at} title={`${absolute(ms, isUtc)} ${zoneName(isUtc)}`}>
      {ago(nowMs - ms)}
    </time>
  );
}

/** When something was, as a date and time. */
export function At({ at }: { readonly at: string }) {
  const { isUtc } = useStore(preferences);
  const nowMs = useStore(now);
  const ms = Date.parse(at);
  return (
    <time dateTime={at} title={`${ago(nowMs - ms)} (${zoneName(isUtc)} time)`} class="mono">
      {absolute(ms, isUtc)}
    </time>
  );
}

export function Lasting({ ms }: { readonly ms: number | null }) {
  return ms === null ? <None /> : duration(ms);
}

/** A heading with what belongs to its right. */
export function Heading({
  level = 2,
  children,
  aside,
}: {
  readonly level?: 1 | 2;
  readonly children: ComponentChildren;
  readonly aside?: ComponentChildren;
}) {
  const Tag = level === 1 ? 'h1' : 'h2';
  return (
    <header class="heading">
      <Tag>{children}</Tag>
      {aside === undefined ? null : <div class="aside">{aside}</div>}
    </header>
  );
}

export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="panel empty">{children}</p>;
}

/** While there is no answer yet, and when there is none. */
export function Waiting({ error }: { readonly error: ApiError | null }) {
  const { problem } = useStore(live);
  if (error === null || (!error.isRefusal && problem !== null)) {
    return (
      <p class="panel empty" aria-busy="true">
        {error === null ? 'Loading …' : 'No answer yet'}
      </p>
    );
  }
  return (
    <p class="panel empty bad" role="alert">
      <Foreign text={error.message} />
    </p>
  );
}

/** Where there is no value. */
export function None() {
  return <span class="faint">–</span>;
}

/** Why what is shown is not the latest, and of when it is. That nothing is heard at all is said above the view. */
export function AsOf({ feed: { data, dataAtMs, error } }: { readonly feed: Omit<Feed<object>, 'reload'> }) {
  const { problem } = useStore(live);
  const { isUtc } = useStore(preferences);
  if (data === null || dataAtMs === null || error === null) return null;
  if (problem !== null && !error.isRefusal) return null;
  return (
    <p class="bad" role="alert">
      As of {clockTime(dataAtMs, isUtc)}: <Foreign text={error.message} />
    </p>
  );
}
