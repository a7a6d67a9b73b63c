import type { ComponentChildren } from 'preact';
import type { PauseItem } from '../../src/protocol/api/lists.ts';
import type { ChunkCounts, SubmissionState } from '../../src/protocol/api/submissions.ts';
import { count, percent } from '../../src/protocol/api/words.ts';
import { currentRoute, hrefTo, withParams } from '../lib/route.ts';
import { Icon } from './icons.tsx';
import { Ago, Foreign, None } from './text.tsx';

/** Of one that completed with failures, how many of its chunks failed says more than the name of the state. */
export function StateBadge({
  state,
  chunks: { failed, total },
}: {
  readonly state: SubmissionState;
  readonly chunks: ChunkCounts;
}) {
  const name = state.replaceAll('_', ' ');
  const failures =
    failed === total && total > 1
      ? `all ${count(total)} failed`
      : `${count(failed)} of ${count(total)} failed`;
  return (
    <span class={`badge state-${state}`} title={name}>
      {state === 'completed_with_failures' ? failures : name}
    </span>
  );
}

/** The link that a row of a submission is opened by. */
export function SubmissionLink({ id }: { readonly id: string }) {
  return (
    <a class="row-link" href={hrefTo(`submissions/${id}`)}>
      {id}
    </a>
  );
}

export function Badge({
  kind,
  title,
  children,
}: {
  readonly kind: string;
  readonly title?: string;
  readonly children: ComponentChildren;
}) {
  return (
    <span class={`badge ${kind}`} title={title}>
      {children}
    </span>
  );
}

/** A pair of metadata, which leads to the submissions that carry it as well. */
export function Pair({
  name,
  value,
  state,
}: {
  readonly name: string;
  readonly value: string;
  /** Of those that it leads to. Default: that of the list where it stands, else open. */
  readonly state?: 'all';
}) {
  const route = currentRoute();
  const query =
    route.parts[0] === 'submissions' && route.parts.length === 1 ? withParams({}) : new URLSearchParams();
  const pair = `${name}:${value}`;
  if (!query.getAll('meta').includes(pair)) query.append('meta', pair);
  if (state !== undefined) query.set('state', state);
  return (
    <a class="pair" href={hrefTo('submissions', query)} title={`Submissions with ${pair}`}>
      <span class="key">
        <Foreign text={name} />
      </span>
      <Foreign text={value} />
    </a>
  );
}

export function Pairs({ of }: { readonly of: Readonly<Record<string, string>> }) {
  const pairs = Object.entries(of);
  return pairs.length === 0 ? (
    <None />
  ) : (
    <span class="pairs">
      {pairs.map(([name, value]) => (
        <Pair key={name} name={name} value={value} />
      ))}
    </span>
  );
}

/** Of chunks that nobody gets for now: of a submission that is paused, or not to be started yet. */
export function pausedWords(state: SubmissionState): string {
  return state === 'delayed' ? 'not to start yet' : 'paused';
}

/** How far a submission is: its chunks by state, as parts of one bar. */
export function Progress({
  chunks,
  isLarge = false,
}: {
  readonly chunks: ChunkCounts;
  readonly isLarge?: boolean;
}) {
  const { total, done, reserved, failed, delayed, paused } = chunks;
  const share = total === 0 ? 1 : done / total;
  const words = `${count(done)} of ${count(total)} chunks done, ${count(reserved)} in flight, ${count(failed)} failed${paused > 0 ? `, ${count(paused)} paused` : ''}`;
  return (
    <span class={`progress ${isLarge ? 'large' : ''}`} title={words}>
      <meter class="visually-hidden" min={0} max={1} value={share}>
        {words}
      </meter>
      <svg class="bar" preserveAspectRatio="none" viewBox="0 0 1000 10" aria-hidden="true">
        <Parts
          total={total}
          parts={[
            ['done', done],
            ['failed', failed],
            ['reserved', reserved],
            ['delayed', delayed],
            ['paused', paused],
          ]}
        />
      </svg>
      {isLarge ? null : <span class="share">{percent(share)}</span>}
    </span>
  );
}

/** Parts of a bar of 1 000, each visible if there is any of it. */
function Parts({
  total,
  parts,
}: {
  readonly total: number;
  readonly parts: readonly (readonly [string, number])[];
}) {
  let from = 0;
  return (
    <>
      {parts.map(([kind, amount]) => {
        if (amount === 0 || total === 0) return null;
        const width = Math.max((amount / total) * 1_000, 6);
        const x = Math.min(from, 1_000 - width);
        from += width;
        return <rect key={kind} class={`fill-${kind}`} x={x} y={0} width={width} height={10} />;
      })}
    </>
  );
}

/** A bar that compares a value with the largest of its column. */
export function Bar({
  value,
  max,
  kind,
}: {
  readonly value: number;
  readonly max: number;
  readonly kind: string;
}) {
  const width = max === 0 ? 0 : Math.max((value / max) * 1_000, value > 0 ? 8 : 0);
  return (
    <svg class="bar" preserveAspectRatio="none" viewBox="0 0 1000 10" aria-hidden="true">
      <rect class={`fill-${kind}`} x={0} y={0} width={width} height={10} />
    </svg>
  );
}

/** Names with values, one below the other. */
export function Facts({ of }: { readonly of: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="panel facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Who paused it, since when and why. */
export function PauseList<Item extends PauseItem>({
  of,
  what,
}: {
  readonly of: readonly Item[];
  readonly what: string | ((pause: Item) => string);
}) {
  if (of.length === 0) return null;
  return (
    <ul class="panel pauses">
      {of.map((pause) => (
        <li key={JSON.stringify(pause)}>
          <Icon name="pause" />
          <span>
            {typeof what === 'string' ? what : what(pause)} by{' '}
            <b>
              <Foreign text={pause.by} />
            </b>{' '}
            <Ago at={pause.since} />
            {pause.reason === null ? null : (
              <>
                : <Foreign text={pause.reason} />
              </>
            )}
            {pause.cause === 'manual' ? null : (
              <span class="faint">
                {' '}
                (cause <Foreign text={pause.cause} />)
              </span>
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}

const ID_CHARS_SHOWN = 12;

/** To a consumer. Of its id, the end tells it apart from the others. */
export function ConsumerLink({ id, isRow = false }: { readonly id: string; readonly isRow?: boolean }) {
  const short = id.length > ID_CHARS_SHOWN + 4 ? `…${id.slice(-ID_CHARS_SHOWN)}` : id;
  return (
    <a class={isRow ? 'row-link' : ''} href={hrefTo(`consumers/${encodeURIComponent(id)}`)} title={id}>
      {short}
    </a>
  );
}
