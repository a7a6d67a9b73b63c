import type { List } from '../../src/protocol/api/lists.ts';
import { CHUNK_STATES, type ChunkRow } from '../../src/protocol/api/submissions.ts';
import { count, duration } from '../../src/protocol/api/words.ts';
import { LIST_KEEPS, useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute } from '../lib/route.ts';
import { ParamChoice } from '../ui/filters.tsx';
import { useHold } from '../ui/hold.ts';
import { ListBody } from '../ui/list.tsx';
import { Badge, ConsumerLink } from '../ui/parts.tsx';
import { type ColumnOf, Table } from '../ui/table.tsx';
import { Heading, Lasting, None, Unfolding } from '../ui/text.tsx';

export function ChunksView({ id }: { readonly id: string }) {
  const { query } = useRoute();
  const { ref, isHeld } = useHold();
  const path = `submissions/${id}/chunks`;
  const feed = useFeed<List<ChunkRow>>(apiPath(path, query), { isHeld, keeps: LIST_KEEPS });
  const { isOld } = feed;
  return (
    <section>
      <Heading level={1}>
        Chunks of <a href={hrefTo(`submissions/${id}`)}>{id}</a>
      </Heading>
      <search class="filters">
        <ParamChoice label="State" param="state" values={['all', ...CHUNK_STATES]} />
      </search>
      <div ref={ref} class="list">
        <ListBody feed={feed} isHeld={isHeld} empty="No chunk is in this state">
          {({ items }) => <ChunkTable rows={items} p90={null} isOld={isOld} />}
        </ListBody>
      </div>
    </section>
  );
}

const SHORT: readonly ColumnOf<ChunkRow>[] = [
  { name: 'chunk', title: 'Chunk', isNumber: true, cell: ({ index }) => count(index) },
  {
    name: 'holder',
    title: 'Consumer',
    cell: ({ holder }) => (holder === null ? <None /> : <ConsumerLink id={holder} />),
  },
  {
    name: 'tries',
    title: 'Tries before',
    isNumber: true,
    cell: ({ retries, disconnects }) => count(retries + disconnects),
  },
];
const STATE: ColumnOf<ChunkRow> = {
  name: 'state',
  title: 'State',
  cell: ({ state }) => <Badge kind={`state-${state}`}>{state}</Badge>,
};
const MORE: readonly ColumnOf<ChunkRow>[] = [
  {
    name: 'expires',
    title: 'Expires in',
    isNumber: true,
    cell: ({ expires_in_ms: ms }) => <Lasting ms={ms} />,
  },
  { name: 'due', title: 'Retry in', isNumber: true, cell: ({ due_in_ms: ms }) => <Lasting ms={ms} /> },
  {
    name: 'failure',
    title: 'Last failure',
    isWide: true,
    cell: ({ last_failure: failure }) => (failure === null ? <None /> : <Unfolding text={failure} />),
  },
];

/** @param p90 the time that nine chunks in ten take at most; null: not known */
export function ChunkTable({
  rows,
  p90,
  isShort = false,
  isOld = false,
}: {
  readonly rows: readonly ChunkRow[];
  readonly p90: number | null;
  readonly isShort?: boolean;
  readonly isOld?: boolean;
}) {
  const held: ColumnOf<ChunkRow> = {
    name: 'held',
    title: 'Held for',
    isNumber: true,
    cell: ({ held_ms: ms, straggler }) => (
      <span
        class={straggler ? 'bad' : ''}
        title={p90 === null ? '' : `nine in ten take less than ${duration(p90)}`}
      >
        {straggler ? <Badge kind="straggler">slow</Badge> : null} <Lasting ms={ms} />
      </span>
    ),
  };
  const [chunk, holder, tries] = SHORT as readonly [
    ColumnOf<ChunkRow>,
    ColumnOf<ChunkRow>,
    ColumnOf<ChunkRow>,
  ];
  const columns = isShort ? [chunk, holder, tries, held] : [chunk, STATE, holder, held, tries, ...MORE];
  return (
    <Table label="Chunks" rows={rows} isOld={isOld} keyOf={({ index }) => String(index)} columns={columns} />
  );
}
