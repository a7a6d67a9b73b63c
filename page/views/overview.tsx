import type { ComponentChildren } from 'preact';
import {
  type Attention,
  HISTORY_WINDOWS,
  type History,
  type HistorySeries,
  type HistoryWindow,
  type Overview,
} from '../../src/protocol/api/overview.ts';
import { compact, duration, plural, rate, sentence } from '../../src/protocol/api/words.ts';
import { range, roughly } from '../lib/format.ts';
import { live, useFeed } from '../lib/live.ts';
import { apiPath, hrefTo, useRoute } from '../lib/route.ts';
import { useStore } from '../lib/store.ts';
import { ParamChoice } from '../ui/filters.tsx';
import { Icon } from '../ui/icons.tsx';
import { Pairs, SubmissionLink } from '../ui/parts.tsx';
import { Plot } from '../ui/plot.tsx';
import { Table } from '../ui/table.tsx';
import { Ago, Amount, AsOf, Foreign, Heading, None, Waiting } from '../ui/text.tsx';
import { Fold } from '../ui/unfold.tsx';
import { Events, useEvents } from './events.tsx';
import { WhyPanel } from './why.tsx';

const EVENTS_SHOWN = 12;
const POINTS = 300;
const SERIES: readonly HistorySeries[] = [
  'inserted',
  'done',
  'set_back',
  'backlog',
  'waiting',
  'reserved',
  'consumers',
  'commit_p50_ms',
  'commit_p99_ms',
];

export function OverviewView() {
  const feed = useFeed<Overview>(apiPath('overview'));
  const { data, error } = feed;
  const { problem } = useStore(live);
  return (
    <>
      <h1 class="visually-hidden">Overview</h1>
      <WhyPanel submission={null} />
      {data === null ? (
        <Waiting error={error} />
      ) : (
        <>
          <AsOf feed={feed} />
          <AttentionList of={data.attention} isOld={problem !== null || error !== null} />
          <Figures overview={data} />
          <Longest of={data} />
        </>
      )}
      <Fold title="History">
        <Plots />
      </Fold>
      <Fold title="Last events">
        <LastEvents />
      </Fold>
    </>
  );
}

function AttentionList({
  of,
  isOld,
}: {
  readonly of: readonly Attention[];
  /** Nobody knows what is now. */
  readonly isOld: boolean;
}) {
  // What a store costs that takes nothing, why tells already.
  const isStuck = of.some(({ code }) => code === 'store_unhealthy');
  const told = of.filter(({ code }) => !isStuck || code !== 'hand_out_held');
  if (told.length === 0) {
    return isOld ? null : (
      <p class="all-well">
        <Icon name="ok" /> Nothing needs attention
      </p>
    );
  }
  return (
    <section aria-labelledby="attention">
      <h2 id="attention">Needs attention</h2>
      <ul class="panel attention">
        {told.map(({ code, severity, text, link }, at) => (
          <li key={`${code} ${link} ${sameBefore(told, at)}`} class={severity}>
            <a href={`#/${link}`}>
              <Icon name={severity} />
              <span>
                <span class="visually-hidden">{severity}: </span>
                <Foreign text={sentence(text)} />
              </span>
              <Icon name="right" />
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** How many before it are of its kind and lead where it leads: each node may tell of itself, and what failed in several ways has one list. */
function sameBefore(told: readonly Attention[], at: number): number {
  return told.slice(0, at).filter(({ code, link }) => code === told[at]?.code && link === told[at]?.link)
    .length;
}

function Figures({ overview }: { readonly overview: Overview }) {
  const { counts, rates, oldest_waiting: oldest, state } = overview;
  const left = overview.left_ms;
  const sick = counts.consumers_sick > 0 ? `, ${compact(counts.consumers_sick)} slowed down` : '';
  return (
    <section class="figures" aria-label="Figures">
      <Figure
        name="Chunks per second"
        value={rate(rates.last_10s.done)}
        note={`${rate(rates.last_60s.done)} over the last minute${state === 'running' ? '' : `; ${state.replaceAll('_', ' ')}`}`}
      />
      <Figure
        name="Backlog"
        value={<Amount value={counts.chunks_backlog} />}
        note={`${compact(counts.operations_backlog)} ops in ${plural(counts.submissions_open, 'submission')}${counts.chunks_paused > 0 ? `, ${compact(counts.chunks_paused)} chunks paused` : ''}`}
        href={hrefTo('submissions')}
      />
      <Figure name="Time left" value={left === null ? '–' : roughly(left)} note={leftNote(overview)} />
      <Figure
        name="In flight"
        value={<Amount value={counts.chunks_reserved} />}
        note={counts.chunks_delayed > 0 ? `${compact(counts.chunks_delayed)} wait for a retry` : 'chunks'}
      />
      <Figure
        name="Consumers working"
        value={
          <>
            <Amount value={counts.consumers_working} />
            <small> of {compact(counts.consumers)}</small>
          </>
        }
        note={`${compact(counts.consumers_waiting)} wait for chunks${sick}`}
        href={hrefTo('consumers')}
      />
      <Figure
        name="Oldest waiting"
        value={oldest === null ? '–' : roughly(oldest.age_ms)}
        note={oldest === null ? 'nothing waits' : oldest.submission}
        href={oldest === null ? null : hrefTo(`submissions/${oldest.submission}`)}
      />
    </section>
  );
}

/** What the time left is of, or why there is none. */
function leftNote({ counts, left_ms: left, state }: Overview): string {
  const { chunks_backlog: backlog, chunks_paused: paused } = counts;
  if (backlog === 0) return 'nothing is left';
  if (left !== null) return paused > 0 ? 'without what is paused' : 'at the rate of the last minute';
  if (paused === backlog) return 'all that is left is paused';
  return state === 'running' ? 'nothing goes on' : state.replaceAll('_', ' ');
}

/** Submissions that it takes longest to do. */
function Longest({ of: { longest_left: longest, counts } }: { readonly of: Overview }) {
  if (longest.length === 0 || counts.submissions_open < 2) return null;
  return (
    <Fold title="Take longest">
      <section aria-labelledby="longest">
        <Heading>
          <span id="longest">Take longest</span>
        </Heading>
        <Table
          label="Submissions that take longest"
          rows={longest}
          keyOf={({ id }) => id}
          columns={[
            {
              name: 'id',
              title: 'Submission',
              cell: ({ id }) => <SubmissionLink id={id} />,
            },
            { name: 'metadata', title: 'Metadata', cell: ({ metadata }) => <Pairs of={metadata} /> },
            {
              name: 'prefix',
              title: 'Prefix',
              isWide: true,
              cell: ({ prefix }) => (prefix === null ? <None /> : <Foreign text={prefix} />),
            },
            {
              name: 'left',
              title: 'Time left',
              isNumber: true,
              cell: ({ left_ms: left }) => range(left.p50, left.p90),
            },
          ]}
        />
      </section>
    </Fold>
  );
}

/** A number with its name, and what it is made of. */
export function Figure({
  name,
  value,
  note,
  href = null,
}: {
  readonly name: string;
  readonly value: ComponentChildren;
  readonly note: ComponentChildren;
  readonly href?: string | null;
}) {
  const content = (
    <>
      <span class="figure-name">{name}</span>
      <span class="figure-value">{value}</span>
      <span class="figure-note">{note}</span>
    </>
  );
  return href === null ? (
    <div class="figure">{content}</div>
  ) : (
    <a class="figure" href={href}>
      {content}
    </a>
  );
}

const WINDOW_WORDS = { '10m': '10 min', '6h': '6 h', '7d': '7 days' } as const;

function Plots() {
  const { query } = useRoute();
  const window = query.get('window') ?? '10m';
  const params = `window=${window}&points=${POINTS}&series=${SERIES.join()}`;
  const feed = useFeed<History>(apiPath('history', params), {
    // As often as there is another point.
    slower: window === '10m' ? 2 : 10,
    keeps: ['window'],
  });
  const { data, error, isOld } = feed;
  return (
    <section aria-labelledby="history">
      <Heading
        aside={
          <ParamChoice
            label="Length of the history"
            param="window"
            values={Object.keys(HISTORY_WINDOWS) as HistoryWindow[]}
            words={(each) => WINDOW_WORDS[each]}
          />
        }
      >
        <span id="history">History</span>
        {data === null ? null : (
          <span class="since">
            since <Ago at={data.since} />
          </span>
        )}
      </Heading>
      {data === null && error !== null ? <Waiting error={error} /> : <AsOf feed={feed} />}
      <div class={`plots ${isOld ? 'old' : ''}`}>{data === null ? null : <PlotsOf history={data} />}</div>
    </section>
  );
}

function PlotsOf({ history: { at_ms: atMs, series } }: { readonly history: History }) {
  const times = atMs.map((ms) => ms / 1_000);
  const of = (name: HistorySeries) => series[name] ?? [];
  return (
    <>
      <Plot
        title="Chunks per second"
        times={times}
        format={rate}
        lines={[
          { label: 'done', colour: 'done', isFilled: true, values: of('done') },
          { label: 'set back', colour: 'failed', values: of('set_back') },
        ]}
      />
      <Plot
        title="Backlog, chunks"
        times={times}
        format={compact}
        lines={[
          { label: 'not done', colour: 'accent', isFilled: true, values: of('backlog') },
          { label: 'waiting', colour: 'muted', values: of('waiting') },
        ]}
      />
      <Plot
        title="At work"
        times={times}
        format={compact}
        lines={[
          { label: 'chunks in flight', colour: 'reserved', isFilled: true, values: of('reserved') },
          { label: 'consumers', colour: 'accent', values: of('consumers') },
        ]}
      />
      <Plot
        title="A commit takes"
        isFine
        times={times}
        format={(ms) => (ms === 0 ? '0' : duration(ms))}
        lines={[
          { label: 'p50', colour: 'done', values: of('commit_p50_ms') },
          { label: 'p99', colour: 'delayed', values: of('commit_p99_ms') },
        ]}
      />
    </>
  );
}

function LastEvents() {
  const feed = useEvents('', EVENTS_SHOWN);
  return (
    <section aria-labelledby="events">
      <Heading aside={<a href={hrefTo('events')}>All events</a>}>
        <span id="events">Last events</span>
      </Heading>
      <Events feed={feed} />
    </section>
  );
}
