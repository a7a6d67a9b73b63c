import type { ComponentChildren } from 'preact';
import {
  FAILURE_CAUSES,
  FAILURE_GROUPINGS,
  FAILURES_KEPT_MAX,
  type FailureGroup,
  type FailureRow,
  type FailuresAnswer,
} from '../../src/protocol/api/failures.ts';
import { count, duration, plural } from '../../src/protocol/api/words.ts';
import { VerbButton } from '../actions/buttons.tsx';
import { filterOf } from '../actions/filter.ts';
import { useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute } from '../lib/route.ts';
import { Chips, ParamChoice } from '../ui/filters.tsx';
import { useHold } from '../ui/hold.ts';
import { ListBody } from '../ui/list.tsx';
import { Badge, ConsumerLink, Pair } from '../ui/parts.tsx';
import { Ago, At, Foreign, ForeignBlock, Heading } from '../ui/text.tsx';
import { useUnfolded } from '../ui/unfold.tsx';

const CAUSE_WORDS = { failed: 'failed', expired: 'took too long', disconnected: 'consumer gone' } as const;

export function FailuresView() {
  const { query } = useRoute();
  const { ref, isHeld } = useHold();
  const feed = useFeed<FailuresAnswer>(apiPath('failures', query), {
    isHeld,
  });
  const { data } = feed;
  const since =
    data === null ? null : (
      <span class="since">
        {data.forgotten ? `the newest ${count(FAILURES_KEPT_MAX)}, ` : ''}since <Ago at={data.since} />
      </span>
    );
  return (
    <section>
      <Heading level={1}>Failures {since}</Heading>
      <search class="filters">
        <ParamChoice
          label="Kind of failure"
          param="cause"
          values={['all', ...FAILURE_CAUSES] as const}
          words={(value) => (value === 'all' ? 'all' : CAUSE_WORDS[value])}
        />
        <ParamChoice
          label="Alike ones"
          param="group"
          values={FAILURE_GROUPINGS}
          words={(value) => (value === 'none' ? 'each' : 'alike ones together')}
        />
        <Chips path="failures" except={['group', 'cursor', 'limit', 'queue', 'cause']} />
      </search>
      <div ref={ref} class="list">
        <ListBody feed={feed} isHeld={isHeld} empty="No failure is remembered">
          {({ items }) => (
            <>
              <FailureGroups groups={items.filter((item) => 'example' in item)} among={query} />
              <FailureRows rows={items.filter((item) => 'chunk' in item)} />
            </>
          )}
        </ListBody>
      </div>
    </section>
  );
}

/** Failures that are alike, with the latest one in full on demand. */
export function FailureGroups({
  groups,
  among = null,
}: {
  readonly groups: readonly FailureGroup[];
  /** The query that they are of, where all submissions with such a failure can be retried; null: they cannot. */
  readonly among?: URLSearchParams | null;
}) {
  const { shown, more } = useUnfolded(groups.length);
  if (groups.length === 0) return null;
  return (
    <ul class="panel failures">
      {groups.slice(0, shown).map((group) => (
        <Failure
          key={`${group.fingerprint} ${group.cause}`}
          lead={`${count(group.count)}×`}
          place={placeIn(group)}
          row={group.example}
          about={
            <>
              <Carriers of={group} />
              {plural(group.submissions, 'submission')}, {plural(group.consumers, 'consumer')},{' '}
              <Ago at={group.last} />
            </>
          }
        >
          {group.metadata.length === 0 ? null : (
            <p class="failure-pairs">
              Of submissions with
              {group.metadata.map(({ key, value, count: times }) => (
                <span key={`${key}:${value}`}>
                  <Pair name={key} value={value} state="all" /> {count(times)}×
                </span>
              ))}
            </p>
          )}
          <p class="failure-links">
            <span>
              First <At at={group.first} />, last <At at={group.last} />
            </span>
            <a href={hrefTo('submissions', asking(among, { state: 'all', failure: group.fingerprint }))}>
              {group.submissions === 1
                ? 'The submission with it'
                : `The ${plural(group.submissions, 'submission')} with it`}
            </a>
            <a href={hrefTo('failures', asking(among, { group: 'none', fingerprint: group.fingerprint }))}>
              Each of them
            </a>
            {among === null ? null : <RetryGroup fingerprint={group.fingerprint} among={among} />}
          </p>
        </Failure>
      ))}
      {more === null ? null : <li>{more}</li>}
    </ul>
  );
}

/** What ends the title and is not what went wrong: `(resize image.ts)`. */
function placeIn({ title, example }: FailureGroup): string | undefined {
  const place = / \([^()#]+\.\w+\)$/.exec(title)?.[0];
  return place === undefined || example.gist.endsWith(place) ? undefined : place;
}

/** The same submissions, with something else of them. */
function asking(among: URLSearchParams | null, params: Readonly<Record<string, string>>): URLSearchParams {
  const pairs = among?.getAll('meta') ?? [];
  return new URLSearchParams([...pairs.map((pair) => ['meta', pair]), ...Object.entries(params)]);
}

/** What failed on one line, and in full on demand. */
function Failure({
  lead,
  place,
  row,
  about,
  children,
}: {
  readonly lead: ComponentChildren;
  /** Where in the code, where that is known. */
  readonly place?: string | undefined;
  readonly row: FailureRow;
  readonly about: ComponentChildren;
  readonly children?: ComponentChildren;
}) {
  return (
    <li>
      <details>
        <summary>
          <span class="failure-count">{lead}</span>
          <span class="failure-title">
            <Foreign text={row.gist} />
            {place === undefined ? null : (
              <span class="faint">
                <Foreign text={place} />
              </span>
            )}
          </span>
          <span class="failure-about">
            {row.cause === 'failed' ? null : <Badge kind="neutral">{CAUSE_WORDS[row.cause]}</Badge>}
            {about}
          </span>
        </summary>
        <Example row={row} />
        {children}
      </details>
    </li>
  );
}

/** Of what the list is of, all that failed so. */
function RetryGroup({
  fingerprint,
  among,
}: {
  readonly fingerprint: string;
  readonly among: URLSearchParams;
}) {
  const query = new URLSearchParams(among);
  for (const name of ['cause', 'fingerprint']) query.delete(name);
  query.set('failure', fingerprint);
  const filter = filterOf(query);
  return filter === null ? null : <VerbButton verb="retry" target={{ filter }} of="submissions with it" />;
}

/** What all of them have in common. */
function Carriers({ of: { count: all, metadata } }: { readonly of: FailureGroup }) {
  const pairs = metadata.filter(({ count: times }) => times === all);
  if (pairs.length === 0) return null;
  return (
    <span>
      all with <Foreign text={pairs.map(({ key, value }) => `${key} ${value}`).join(', ')} />,
    </span>
  );
}

function FailureRows({ rows }: { readonly rows: readonly FailureRow[] }) {
  const { shown, more } = useUnfolded(rows.length);
  if (rows.length === 0) return null;
  return (
    <ul class="panel failures">
      {rows.slice(0, shown).map((row) => (
        <Failure
          key={`${row.at} ${row.submission} ${row.chunk}`}
          lead={<Ago at={row.at} />}
          row={row}
          about={row.fatal ? <Badge kind="bad">last try</Badge> : null}
        />
      ))}
      {more === null ? null : <li>{more}</li>}
    </ul>
  );
}

function Example({ row }: { readonly row: FailureRow }) {
  const { submission, chunk, conn_id: consumer, took_ms: tookMs, text } = row;
  return (
    <>
      <p>
        Chunk {count(chunk)} of <a href={hrefTo(`submissions/${submission}`)}>{submission}</a>, after{' '}
        {duration(tookMs)}
        {consumer === null ? null : (
          <>
            , by <ConsumerLink id={consumer} />
          </>
        )}
      </p>
      <ForeignBlock text={text} />
    </>
  );
}
