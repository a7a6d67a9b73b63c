import type { List } from '../../src/protocol/api/lists.ts';
import type { Overview } from '../../src/protocol/api/overview.ts';
import type { QueueAnswer, QueueRow } from '../../src/protocol/api/queue.ts';
import { bytes, count, duration } from '../../src/protocol/api/words.ts';
import { VerbButton } from '../actions/buttons.tsx';
import { useFeed } from '../lib/live.ts';
import { ownQueue } from '../lib/route.ts';
import { Facts, PauseList } from '../ui/parts.tsx';
import { Table } from '../ui/table.tsx';
import { Ago, AsOf, At, Empty, Foreign, Heading, Waiting } from '../ui/text.tsx';

export function QueueView() {
  const feed = useFeed<QueueAnswer>('queue', { slower: 2 });
  const { data, error } = feed;
  // Of the server, whichever queue is chosen; at the address of a queue, of that.
  const overview = useFeed<Overview>('overview', { slower: 2 });
  const pauses = overview.data?.pauses ?? [];
  return (
    <>
      <Heading
        level={1}
        aside={
          overview.data === null || ownQueue !== '' ? null : (
            <VerbButton
              isQuiet
              verb={pauses.length > 0 ? 'resume' : 'pause'}
              target={{ server: true }}
              of="everything"
            />
          )
        }
      >
        Queue
      </Heading>
      <AsOf feed={feed} />
      <AsOf feed={overview} />
      {ownQueue === '' ? <PauseList of={pauses} what="Paused" /> : null}
      <Queues />
      <div class="columns">
        {overview.data === null ? <Waiting error={overview.error} /> : <Store of={overview.data} />}
        {data === null ? <Waiting error={error} /> : <Server of={data} />}
      </div>
      {data === null ? null : <Settings of={data} />}
    </>
  );
}

function Queues() {
  const feed = useFeed<List<QueueRow>>('queues', { slower: 2 });
  const { data, error } = feed;
  const rows = data?.items.filter(({ name }) => ownQueue === '' || name === ownQueue) ?? [];
  const title = ownQueue === '' ? 'Queues in use' : 'This queue';
  return (
    <section>
      <Heading>{title}</Heading>
      <AsOf feed={feed} />
      {ownQueue === ''
        ? null
        : rows.map((row) => (
            <PauseList
              key={row.name}
              of={row.pauses}
              what={({ of }) => (of === 'queue' ? 'Paused' : 'Paused with the server')}
            />
          ))}
      {data === null ? (
        <Waiting error={error} />
      ) : rows.length === 0 ? (
        <Empty>Nothing is in it, and nobody is connected</Empty>
      ) : (
        <Table
          label={title}
          rows={rows}
          keyOf={({ name }) => name}
          columns={[
            {
              name: 'name',
              title: 'Queue',
              isWide: true,
              cell: ({ name }) => (
                <a class="row-link" href={`#/?queue=${encodeURIComponent(nameOf(name))}`}>
                  {nameOf(name) === '-' ? 'the unnamed one' : <Foreign text={name} />}
                </a>
              ),
            },
            {
              name: 'open',
              title: 'Submissions',
              isNumber: true,
              cell: (row) => count(row.submissions_open),
            },
            {
              name: 'waiting',
              title: 'Chunks waiting',
              isNumber: true,
              cell: (row) => count(row.chunks_waiting),
            },
            {
              name: 'reserved',
              title: 'In flight',
              isNumber: true,
              cell: (row) => count(row.chunks_reserved),
            },
            { name: 'paused', title: 'Paused', isNumber: true, cell: (row) => count(row.chunks_paused) },
            { name: 'consumers', title: 'Consumers', isNumber: true, cell: (row) => count(row.consumers) },
            {
              name: 'do',
              title: 'Actions',
              cell: ({ name, pauses }) => (
                <VerbButton
                  isQuiet
                  verb={pauses.some(({ of }) => of === 'queue') ? 'resume' : 'pause'}
                  target={{ queue: nameOf(name) }}
                />
              ),
            },
          ]}
        />
      )}
    </section>
  );
}

/** As requests name it. */
function nameOf(name: string): string {
  return name === '' ? '-' : name;
}

function Store({ of }: { readonly of: Overview }) {
  const { store, event_loop_delay_ms: delay } = of;
  const { commit_ms: commit, disk_free_bytes: free, disk_total_bytes: total, size_bytes: size } = store;
  const health = store.healthy ? (
    'writes get through'
  ) : (
    <span class="bad">
      <Foreign text={store.error?.text ?? 'nothing can be written'} />
      {store.stuck_ms === null ? '' : `, for ${duration(store.stuck_ms)}`}
    </span>
  );
  return (
    <section>
      <Heading>Store</Heading>
      <Facts
        of={[
          ['Health', health],
          ['Handing out', store.hand_out_held ? 'held until the store is back' : 'goes on'],
          ['A commit takes', commit === null ? <NothingWritten key="none" of={of} /> : oneInHundred(commit)],
          ['Not written yet', bytes(store.pending_bytes)],
          ['Size', size === null ? 'unknown' : bytes(size)],
          ['Disk', free === null || total === null ? 'unknown' : `${bytes(free)} free of ${bytes(total)}`],
          ['Timers are late by', oneInHundred(delay)],
        ]}
      />
    </section>
  );
}

/** In the last minute or two. */
function NothingWritten({ of: { store, since } }: { readonly of: Overview }) {
  const last = store.last_commit;
  return (
    <span>
      {last === null
        ? 'nothing was written since the start, '
        : 'nothing was written of late, the last time '}
      <Ago at={last ?? since} />
    </span>
  );
}

function oneInHundred({ p50, p99 }: { readonly p50: number; readonly p99: number }): string {
  return `${duration(p50)}, one in a hundred ${duration(p99)}`;
}

function Server({ of: data }: { readonly of: QueueAnswer }) {
  const refused = Object.entries(data.connections_rejected)
    .filter(([, times]) => times > 0)
    .map(([why, times]) => `${count(times)} (${why})`);
  const { kept, cost_ms: cost, refused: views } = data.views;
  return (
    <section>
      <Heading>Server</Heading>
      <Facts
        of={[
          ['Version', `opsqueue ${data.version}, Node.js ${data.node}, ${data.platform}`],
          ['Started', <At key="at" at={data.since} />],
          ['Memory', bytes(data.memory_bytes)],
          ['Store', data.store.kind],
          ['Connections refused', refused.length === 0 ? 'none' : refused.join(', ')],
          ['Answers kept', `${count(kept)}, made in ${duration(cost)}; ${count(views)} requests refused`],
          ['Extensions', [...data.features.producers, ...data.features.consumers].join(', ')],
        ]}
      />
    </section>
  );
}

function Settings({ of: { settings } }: { readonly of: QueueAnswer }) {
  return (
    <section>
      <Heading>Settings in force</Heading>
      <Table
        label="Settings in force"
        rows={Object.entries(settings)}
        keyOf={([name]) => name}
        columns={[
          { name: 'flag', title: 'Flag', cell: ([name]) => <code>{name}</code> },
          {
            name: 'value',
            title: 'Value',
            isWide: true,
            cell: ([, value]) =>
              value === null || String(value) === '' ? (
                <span class="faint">not set</span>
              ) : (
                <Foreign text={Array.isArray(value) ? value.join(', ') : String(value)} />
              ),
          },
        ]}
      />
    </section>
  );
}
