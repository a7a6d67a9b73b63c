import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { List } from '../src/protocol/api/lists.ts';
import type { QueueRow } from '../src/protocol/api/queue.ts';
import { ActionDialog } from './actions/dialog.tsx';
import { Notices } from './actions/notices.tsx';
import { Help } from './help.tsx';
import { useKeys } from './keys.ts';
import { missing } from './lib/api.ts';
import { now, queueNowMs } from './lib/clock.ts';
import { clockTime, roughly, zoneName } from './lib/format.ts';
import { silenceOf } from './lib/heard.ts';
import { hearings, held, isPaused, live, useFeed } from './lib/live.ts';
import { otherServer, serverName, wholeName } from './lib/name.ts';
import { choose, INTERVALS_MS, isDark, preferences } from './lib/preferences.ts';
import { goTo, hrefTo, ownQueue, queueOf, type Route, useRoute } from './lib/route.ts';
import { useStore } from './lib/store.ts';
import { Boundary } from './ui/boundary.tsx';
import { Icon } from './ui/icons.tsx';
import { Empty, Foreign, Heading } from './ui/text.tsx';
import { ChunksView } from './views/chunks.tsx';
import { ConsumersView, ConsumerView } from './views/consumers.tsx';
import { EventsView } from './views/events.tsx';
import { FailuresView } from './views/failures.tsx';
import { OverviewView } from './views/overview.tsx';
import { QueueView } from './views/queue.tsx';
import { SubmissionView } from './views/submission.tsx';
import { SubmissionsView } from './views/submissions.tsx';
import { ValuesView } from './views/values.tsx';
import { WhyView } from './views/why.tsx';

const VIEWS = [
  ['', 'Overview'],
  ['submissions', 'Submissions'],
  ['consumers', 'Consumers'],
  ['values', 'Fairness'],
  ['failures', 'Failures'],
  ['queue', 'Queue'],
] as const;

/** The tab of a view that has none of its own. */
const TABS: Readonly<Record<string, string>> = {
  overview: '',
  why: '',
  events: '',
  keys: 'values',
  queues: 'queue',
};

export function App() {
  const route = useRoute();
  const [hasHelp, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  const place = route.parts.join('/');
  const openHelp = useCallback(() => setHelp(true), []);
  useKeys(openHelp);
  useTitle(route);
  const { problem } = useStore(live);
  const isFirst = useRef(true);
  useEffect(() => {
    if (isFirst.current) isFirst.current = false;
    else {
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
  }, [place]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <TopBar route={route} help={openHelp} />
      <Banner />
      <main ref={main} id="main" tabIndex={-1} class={problem === null ? '' : 'past'}>
        <Boundary key={place}>
          <View route={route} />
        </Boundary>
      </main>
      <Notices />
      <ActionDialog />
      {hasHelp ? <Help close={() => setHelp(false)} /> : null}
    </>
  );
}

function View({ route: { parts } }: { readonly route: Route }) {
  const [view, id, part] = parts;
  // Nothing of the one may be taken for the other's.
  if (useStore(otherServer)?.isSame === false) return <Empty>Nothing is shown of another queue</Empty>;
  if (view === undefined || view === 'overview') return <OverviewView />;
  if (view === 'submissions' && id !== undefined && part === 'chunks') return <ChunksView id={id} />;
  if (view === 'submissions') return id === undefined ? <SubmissionsView /> : <SubmissionView id={id} />;
  if (view === 'consumers') return id === undefined ? <ConsumersView /> : <ConsumerView id={id} />;
  if (view === 'values' || view === 'keys') return <ValuesView />;
  if (view === 'failures') return <FailuresView />;
  if (view === 'events') return <EventsView />;
  if (view === 'why') return <WhyView />;
  if (view === 'queue' || view === 'queues') return <QueueView />;
  return (
    <>
      <Heading level={1}>Nothing is here</Heading>
      <Empty>
        There is no such view. <a href="#/">Go to the overview</a>
      </Empty>
    </>
  );
}

function useTitle({ parts }: Route): void {
  const [view = '', id] = parts;
  const name = VIEWS.find(([path]) => path === view)?.[1] ?? view;
  useEffect(() => {
    document.title = `${id === undefined ? name : `${name} ${id}`} – ${wholeName()}`;
  });
}

function TopBar({ route, help }: { readonly route: Route; help(): void }) {
  const [view = ''] = route.parts;
  const shown = TABS[view] ?? view;
  return (
    <header class="top">
      <a
        class={`name ${serverName === '' ? '' : 'given'}`}
        href={hrefTo('')}
        aria-label={serverName === '' ? 'opsqueue' : `opsqueue ${serverName}`}
        title={location.host}
      >
        <svg viewBox="0 0 16 16" aria-hidden="true" class="logo">
          <path d="M1 1h4v4H1zM6 1h4v4H6zM11 1h4v4h-4zM1 6h4v4H1z" />
          <path d="M6 6h4v4H6zM1 11h4v4H1z" opacity=".6" />
          <path d="M11 6h4v4h-4zM6 11h4v4H6zM11 11h4v4h-4z" opacity=".28" />
        </svg>
        <span>{serverName === '' ? 'opsqueue' : <Foreign text={serverName} />}</span>
      </a>
      {ownQueue === '' ? <QueueChoice route={route} /> : <b class="queue-choice">{ownQueue}</b>}
      <nav class="views" aria-label="Views">
        {VIEWS.map(([path, name]) => (
          <a key={path} href={hrefTo(path)} aria-current={path === shown ? 'page' : undefined}>
            {name}
          </a>
        ))}
      </nav>
      <div class="controls">
        <Heard />
        <Interval />
        <Zone />
        <Theme />
        <button
          type="button"
          class="tool"
          aria-label="Help and keys"
          title="Help and keys (?)"
          onClick={help}
        >
          ?
        </button>
      </div>
    </header>
  );
}

/** Which queue everything is of. Where there is only one there is nothing to choose: the unnamed one, which is always there, counts when something is in it. */
function QueueChoice({ route }: { readonly route: Route }) {
  const { data } = useFeed<List<QueueRow>>('queues', { slower: 10 });
  const chosen = queueOf(route);
  const names = (data?.items ?? []).filter(isInUse).map(({ name }) => (name === '' ? '-' : name));
  if (chosen !== null && !names.includes(chosen)) names.push(chosen);
  const [only = '-'] = names;
  if (names.length < 2) return only === '-' ? null : <b class="queue-choice">{only}</b>;
  return (
    <select
      class="queue-choice"
      aria-label="Queue"
      value={chosen ?? ''}
      onChange={({ currentTarget: { value } }) => {
        const params = new URLSearchParams(route.query);
        params.delete('cursor');
        params.delete('queue');
        const text = params.toString();
        const path = `#/${route.parts.join('/')}`;
        const all =
          value === '' ? text : `${text === '' ? '' : `${text}&`}queue=${encodeURIComponent(value)}`;
        goTo(all === '' ? path : `${path}?${all}`);
      }}
    >
      <option value="">All queues</option>
      {names.map((name) => (
        <option key={name} value={name}>
          {name === '-' ? 'unnamed queue' : name}
        </option>
      ))}
    </select>
  );
}

function isInUse({ name, submissions_open: submissions, consumers, pauses }: QueueRow): boolean {
  return name !== '' || submissions + consumers + pauses.length > 0;
}

/** Whether figures are new, and if not, how old. */
function Heard() {
  const { heardAtMs, problem } = useStore(live);
  const isStopped = useStore(isPaused);
  const { intervalMs } = useStore(preferences);
  useStore(now);
  const silence = silenceOf(hearings, queueNowMs(), intervalMs);
  const silentMs = heardAtMs === null ? null : silence.silentMs;
  const isOld = heardAtMs !== null && silence.isOld;
  const isHeld = useStore(held) > 0;
  const kind = problem !== null ? 'bad' : isStopped || intervalMs === 0 ? 'stopped' : isOld ? 'old' : 'fresh';
  const words =
    silentMs === null
      ? problem === null
        ? 'connecting'
        : 'no answer'
      : kind === 'fresh'
        ? isHeld
          ? 'held'
          : 'live'
        : `heard ${roughly(silentMs)} ago`;
  return (
    <button
      type="button"
      class={`heard ${kind}`}
      aria-pressed={isStopped}
      title={`${isHeld ? 'What you point at or have selected holds still. ' : ''}${isStopped ? 'Go on' : 'Stop asking for new figures'} (p)`}
      onClick={() => isPaused.set(!isStopped)}
    >
      <i class="dot" />
      <span>{isStopped ? 'stopped' : words}</span>
    </button>
  );
}

function Interval() {
  const { intervalMs } = useStore(preferences);
  return (
    <select
      aria-label="How often to ask"
      title="How often to ask"
      value={String(intervalMs)}
      onChange={({ currentTarget: { value } }) => choose({ intervalMs: Number(value) })}
    >
      {INTERVALS_MS.map((each) => (
        <option key={each} value={String(each)}>
          {each === 0 ? 'off' : `${each / 1_000} s`}
        </option>
      ))}
    </select>
  );
}

function Zone() {
  const { isUtc } = useStore(preferences);
  const words = zoneName(isUtc);
  return (
    <button
      type="button"
      class="zone"
      title="UTC or local time (u)"
      onClick={() => choose({ isUtc: !isUtc })}
    >
      {words}
      <span class="visually-hidden"> time</span>
    </button>
  );
}

function Theme() {
  useStore(preferences);
  const dark = isDark();
  return (
    <button
      type="button"
      class="tool"
      aria-label={dark ? 'Light colours' : 'Dark colours'}
      title={`${dark ? 'Light' : 'Dark'} colours (t)`}
      onClick={() => choose({ theme: dark ? 'light' : 'dark' })}
    >
      <Icon name={dark ? 'sun' : 'moon'} />
    </button>
  );
}

/** That the page is not that of what answers. */
function Other() {
  const other = useStore(otherServer);
  if (other === null) return null;
  const { name, version, isSame } = other;
  return (
    <div class="banner">
      <Icon name={isSame ? 'warning' : 'critical'} />
      <span>
        <b>
          {isSame ? (
            <Foreign text={`The queue has version ${version} by now`} />
          ) : (
            <>
              Another queue answers at this address
              {name === '' ? '' : ': '}
              <Foreign text={name} />
            </>
          )}
        </b>
        {isSame ? ', and this page is of another one. ' : '. This page does nothing there. '}
        <button type="button" onClick={() => location.reload()}>
          Reload the page
        </button>
      </span>
    </div>
  );
}

/** That what is shown is not of now. */
function Banner() {
  const { heardAtMs, problem } = useStore(live);
  const { isUtc } = useStore(preferences);
  const { nodes_missing: nodes = [], shards_missing: shards = 0 } = useStore(missing);
  return (
    <div role="status">
      <Other />
      {problem === null ? null : (
        <div class="banner">
          <Icon name="critical" />
          <span>
            <b>
              <Foreign text={problem} />
            </b>
            {heardAtMs === null
              ? '. '
              : `. What you see is of ${clockTime(heardAtMs, isUtc)} ${zoneName(isUtc)} time. `}
            It is tried again.
          </span>
        </div>
      )}
      {problem !== null || nodes.length === 0 ? null : (
        <div class="banner">
          <Icon name="warning" />
          <span>
            <b>
              {nodes.length === 1 ? 'Node ' : 'Nodes '}
              <Foreign text={nodes.join(', ')} />
              {nodes.length === 1 ? ' does not answer' : ' do not answer'}
            </b>
            . What you see is without the queues that are there.
          </span>
        </div>
      )}
      {problem !== null || shards === 0 ? null : (
        <div class="banner">
          <Icon name="warning" />
          <span>
            <b>{`${shards} of 64 shards ${shards === 1 ? 'is' : 'are'} open on no node`}</b>. Their queues
            stand still, and what you see is without them.
          </span>
        </div>
      )}
    </div>
  );
}
