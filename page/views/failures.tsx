import {
  FAILURE_CAUSES,
  type FailureGroup,
  type FailureKept,
  type FailureRow,
} from '../../src/protocol/api/failures.ts';
import type { List } from '../../src/protocol/api/lists.ts';
import { VerbButton } from '../actions/buttons.tsx';
import { filterOf } from '../actions/filter.ts';
import { count, duration, plural } from '../lib/format.ts';
import { useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute, withParams } from '../lib/route.ts';
import { useHold } from '../ui/hold.ts';
import { ListBody } from '../ui/list.tsx';
import { Badge, Chips, Choice, ConsumerLink, HeldNote, Pager, Pair } from '../ui/parts.tsx';
import { Ago, At, Foreign, ForeignBlock, Heading } from '../ui/text.tsx';

const CAUSE_WORDS = { failed: 'failed', expired: 'took too long', disconnected: 'consumer gone' } as const;

export function FailuresView() {
  const { query } = useRoute();
  const { ref, isHeld } = useHold<HTMLDivElement>();
  const { data, error } = useFeed<List<FailureGroup | FailureRow> & Partial<FailureKept>>(
    apiPath('failures', query),
    { isHeld },
  );
  const since =
    data?.since === undefined ? null : (
      <span class="since">
        since <Ago at={data.since} />
      </span>
    );
  return (
    <section>
      <Heading level={1}>Failures {since}</Heading>
      <search class="filters">
        <Choice
          label="Kind of failure"
          chosen={query.get('cause') ?? 'all'}
          choices={(['all', ...FAILURE_CAUSES] as const).map((value) => ({
            value,
            words: value === 'all' ? 'all' : CAUSE_WORDS[value],
            href: hrefTo('failures', withParams({ cause: value === 'all' ? null : value })),
          }))}
        />
        <Choice
          label="Alike ones"
          chosen={query.get('group') ?? 'fingerprint'}
          choices={[
            {
              value: 'fingerprint',
              words: 'alike ones together',
              href: hrefTo('failures', withParams({ group: null })),
            },
            { value: 'none', words: 'each', href: hrefTo('failures', withParams({ group: 'none' })) },
          ]}
        />
        <Chips path="failures" except={['group', 'cursor', 'limit', 'queue', 'cause']} />
      </search>
      <div ref={ref} class="list">
        <ListBody data={data} error={error} empty="No failure is remembered">
          {({ items }) => (
            <>
              <FailureGroups groups={items.filter((item) => 'example' in item)} among={query} />
              <FailureRows rows={items.filter((item) => 'chunk' in item)} />
            </>
          )}
        </ListBody>
        <div class="below">
          {data === null ? null : <Pager matched={data.matched} shown={data.items.length} next={data.next} />}
          <HeldNote isHeld={isHeld} />
        </div>
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
  if (groups.length === 0) return null;
  return (
    <ul class="panel failures">
      {groups.map((group) => (
        <li key={`${group.fingerprint} ${group.cause}`}>
          <details>
            <summary>
              <span class="failure-count">{count(group.count)}×</span>
              <span class="failure-title">
                <Foreign text={group.title} />
                <Cause of={group.example.text} />
              </span>
              <span class="failure-about">
                {group.cause === 'failed' ? null : <Badge kind="neutral">{CAUSE_WORDS[group.cause]}</Badge>}
                <Carriers of={group} />
                {plural(group.submissions, 'submission')}, {plural(group.consumers, 'consumer')},{' '}
                <Ago at={group.last} />
              </span>
            </summary>
            <Example row={group.example} />
            {group.metadata.length === 0 ? null : (
              <p class="failure-pairs">
                Of submissions with
                {group.metadata.map(({ key, value, count: times }) => (
                  <span key={`${key}:${value}`}>
                    <Pair name={key} value={value} /> {count(times)}×
                  </span>
                ))}
              </p>
            )}
            <p class="failure-links">
              <span>
                First <At at={group.first} />, last <At at={group.last} />
              </span>
              <a href={hrefTo('submissions', `failure=${encodeURIComponent(group.fingerprint)}`)}>
                Submissions with it
              </a>
              <a href={hrefTo('failures', `group=none&fingerprint=${encodeURIComponent(group.fingerprint)}`)}>
                Each of them
              </a>
              {among === null ? null : <RetryGroup fingerprint={group.fingerprint} among={among} />}
            </p>
          </details>
        </li>
      ))}
    </ul>
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

/** What was at the root of it, if the text tells. */
function Cause({ of }: { readonly of: string }) {
  const cause = of.split('\n').findLast((line) => line.startsWith('Caused by: '));
  return cause === undefined ? null : (
    <span class="failure-cause">
      <Foreign text={cause} />
    </span>
  );
}

function FailureRows({ rows }: { readonly rows: readonly FailureRow[] }) {
  if (rows.length === 0) return null;
  return (
    <ul class="panel failures">
      {rows.map((row) => (
        <li key={`${row.at} ${row.submission} ${row.chunk}`}>
          <details>
            <summary>
              <span class="failure-count">
                <Ago at={row.at} />
              </span>
              <span class="failure-title">
                <Foreign text={row.text.split('\n')[0] ?? ''} />
                <Cause of={row.text} />
              </span>
              <span class="failure-about">
                {row.cause === 'failed' ? null : <Badge kind="neutral">{CAUSE_WORDS[row.cause]}</Badge>}
                {row.fatal ? <Badge kind="bad">last try</Badge> : null}
              </span>
            </summary>
            <Example row={row} />
          </details>
        </li>
      ))}
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
