import type { EventRow, EventsAnswer } from '../../src/protocol/api/events.ts';
import { useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute } from '../lib/route.ts';
import { useHold } from '../ui/hold.ts';
import { Table } from '../ui/parts.tsx';
import { At, Empty, Foreign, Heading, None, Waiting } from '../ui/text.tsx';

const SHOWN = '200';

export function EventsView() {
  const { query } = useRoute();
  const { ref, isHeld } = useHold<HTMLDivElement>();
  const params = new URLSearchParams(query);
  params.set('limit', SHOWN);
  params.set('order', 'desc');
  const { data, error, isOld } = useFeed<EventsAnswer>(apiPath('events', params), { isHeld });
  return (
    <section>
      <Heading level={1}>Events</Heading>
      <div ref={ref}>
        {data === null ? (
          <Waiting error={error} />
        ) : data.items.length === 0 ? (
          <Empty>Nothing has happened since the queue was started</Empty>
        ) : (
          <EventRows rows={data.items} isOld={isOld} />
        )}
      </div>
    </section>
  );
}

export function EventRows({
  rows,
  isOld = false,
}: {
  readonly rows: readonly EventRow[];
  readonly isOld?: boolean;
}) {
  return (
    <Table
      label="Events"
      isOld={isOld}
      rows={rows}
      keyOf={({ seq }) => String(seq)}
      columns={[
        { name: 'when', title: 'When', cell: ({ at }) => <At at={at} /> },
        { name: 'kind', title: 'What', cell: ({ kind }) => kind.replaceAll('_', ' ') },
        { name: 'of', title: 'Of', cell: (row) => <Subject of={row} /> },
        { name: 'text', title: 'Details', isWide: true, cell: ({ text }) => <Foreign text={text} /> },
        { name: 'by', title: 'By', cell: ({ by }) => (by === null ? <None /> : <Foreign text={by} />) },
      ]}
    />
  );
}

function Subject({ of: { submission, conn_id: consumer, queue } }: { readonly of: EventRow }) {
  if (submission !== null) return <a href={hrefTo(`submissions/${submission}`)}>{submission}</a>;
  if (consumer !== null) return <a href={hrefTo(`consumers/${encodeURIComponent(consumer)}`)}>{consumer}</a>;
  return queue === null ? <None /> : <Foreign text={queue} />;
}
