import { useMemo } from 'preact/hooks';
import type { EventRow, EventsAnswer } from '../../src/protocol/api/events.ts';
import { getJson } from '../lib/api.ts';
import { type Feed, useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute } from '../lib/route.ts';
import { useHold } from '../ui/hold.ts';
import { ConsumerLink } from '../ui/parts.tsx';
import { Table } from '../ui/table.tsx';
import { AsOf, At, Empty, Foreign, Heading, None, Unfolding, Waiting } from '../ui/text.tsx';

const SHOWN = 200;
/** The most that a request gives. */
const LIMIT = 200;

/** The latest events, the newest first. The queue is asked only for what is new. */
export function useEvents(
  query: URLSearchParams | string,
  shown: number,
  isHeld = false,
): Feed<EventsAnswer> {
  const params = new URLSearchParams(query);
  params.set('limit', String(LIMIT));
  const path = apiPath('events', params);
  const read = useMemo(() => tail(shown), [path, shown]);
  return useFeed<EventsAnswer>(path, { isHeld, slower: 2, read });
}

function tail(shown: number): (path: string, signal: AbortSignal) => Promise<EventsAnswer> {
  let rows: readonly EventRow[] = [];
  let after: string | null = null;
  return async (path, signal) => {
    try {
      for (;;) {
        const answer: EventsAnswer = await getJson<EventsAnswer>(
          after === null ? path : `${path}&after=${after}`,
          signal,
        );
        rows = [...answer.items.toReversed(), ...rows].slice(0, shown);
        after = answer.next;
        if (answer.items.length < LIMIT) return { ...answer, items: rows };
      }
    } catch (error) {
      // A queue that was started again counts anew.
      [rows, after] = [[], null];
      throw error;
    }
  };
}

export function EventsView() {
  const { query } = useRoute();
  const { ref, isHeld } = useHold();
  const feed = useEvents(query, SHOWN, isHeld);
  const { data, error } = feed;
  return (
    <section>
      <Heading level={1}>Events</Heading>
      <div ref={ref}>
        <AsOf feed={feed} />
        {data === null ? (
          <Waiting error={error} />
        ) : data.items.length === 0 ? (
          <Empty>Nothing has happened since the queue was started</Empty>
        ) : (
          <EventRows rows={data.items} />
        )}
      </div>
    </section>
  );
}

export function EventRows({ rows }: { readonly rows: readonly EventRow[] }) {
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
