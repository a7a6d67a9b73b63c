import { useMemo } from 'preact/hooks';
import type { EventRow, EventsAnswer } from '../../src/protocol/api/events.ts';
import { plural } from '../../src/protocol/api/words.ts';
import { getJson } from '../lib/api.ts';
import { type Feed, useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute } from '../lib/route.ts';
import { useHold } from '../ui/hold.ts';
import { ConsumerLink } from '../ui/parts.tsx';
import { Table } from '../ui/table.tsx';
import { AsOf, At, Empty, Foreign, Heading, None, Unfolding, Waiting } from '../ui/text.tsx';

/** The most that a request gives. */
const SHOWN = 200;

/** The latest events, the newest first. The queue is asked only for what is new. */
export function useEvents(
  query: URLSearchParams | string,
  shown: number,
  isHeld = false,
): Feed<EventsAnswer> {
  const params = new URLSearchParams(query);
  params.set('take', 'latest');
  params.set('limit', String(shown));
  const path = apiPath('events', params);
  const read = useMemo(() => tail(shown), [path]);
  return useFeed<EventsAnswer>(path, { isHeld, slower: 2, read });
}

function tail(shown: number): (path: string, signal: AbortSignal) => Promise<EventsAnswer> {
  let rows: readonly EventRow[] = [];
  let after = '';
  let missed: number | null = 0;
  return async (path, signal) => {
    let answer = await getJson<EventsAnswer>(path + after, signal);
    if (answer.missed !== 0) {
      // What is shown is not what came right before.
      [rows, missed] = [[], answer.missed];
      if (answer.items.length < shown) answer = await getJson<EventsAnswer>(path, signal);
    }
    rows = [...answer.items.toReversed(), ...rows].slice(0, shown);
    after = `&after=${answer.next}`;
    return { ...answer, missed: rows.length < shown ? missed : 0, items: rows };
  };
}

export function EventsView() {
  const { query } = useRoute();
  const { ref, isHeld } = useHold();
  const feed = useEvents(query, SHOWN, isHeld);
  return (
    <section>
      <Heading level={1}>Events</Heading>
      <div ref={ref}>
        <Events feed={feed} />
      </div>
    </section>
  );
}

export function Events({ feed }: { readonly feed: Feed<EventsAnswer> }) {
  const { data, error } = feed;
  return (
    <>
      <AsOf feed={feed} />
      {data === null ? (
        <Waiting error={error} />
      ) : data.items.length === 0 ? (
        <Empty>Nothing has happened since the queue was started</Empty>
      ) : (
        <EventRows rows={data.items} />
      )}
      {data === null || data.missed === 0 ? null : (
        <p class="faint">
          {data.missed === null
            ? 'Some earlier events are not known: a server was started again'
            : `${plural(data.missed, 'earlier event')} not shown`}
        </p>
      )}
    </>
  );
}

function EventRows({ rows }: { readonly rows: readonly EventRow[] }) {
  return (
    <Table
      label="Events"
      rows={rows}
      keyOf={({ at, seq }) => `${at} ${seq}`}
      columns={[
        { name: 'when', title: 'When', cell: ({ at }) => <At at={at} /> },
        { name: 'kind', title: 'What', cell: ({ kind }) => kind.replaceAll('_', ' ') },
        { name: 'of', title: 'Of', cell: (row) => <Subject of={row} /> },
        { name: 'text', title: 'Details', isWide: true, cell: ({ text }) => <Unfolding text={text} /> },
        { name: 'by', title: 'By', cell: ({ by }) => (by === null ? <None /> : <Foreign text={by} />) },
      ]}
    />
  );
}

function Subject({ of: { submission, conn_id: consumer, queue } }: { readonly of: EventRow }) {
  if (submission !== null) return <a href={hrefTo(`submissions/${submission}`)}>{submission}</a>;
  if (consumer !== null) return <ConsumerLink id={consumer} />;
  return queue === null ? <None /> : <Foreign text={queue} />;
}
