import { WHY_NAMES, type Why } from '../../src/protocol/api/why.ts';
import { sentence } from '../../src/protocol/api/words.ts';
import { useFeed } from '../lib/live.ts';
import { apiPath } from '../lib/route.ts';
import { Icon } from '../ui/icons.tsx';
import { AsOf, Foreign, Heading, Waiting } from '../ui/text.tsx';

/** Whether work goes on, and if not, why: the verdict, and on demand all that was looked at. Of one submission, or of all. */
export function WhyPanel({
  submission,
  isOpen = false,
  arePausesTold = false,
}: {
  readonly submission: string | null;
  /** All that was looked at is there at once. */
  readonly isOpen?: boolean;
  /** Who paused it, and why, stands beside it. */
  readonly arePausesTold?: boolean;
}) {
  const query = submission === null ? '' : `submission=${submission}`;
  const feed = useFeed<Why>(apiPath('why', query), { slower: 2 });
  const { data, error } = feed;
  if (data === null) return error === null ? <div class="panel why empty-why" /> : <Waiting error={error} />;
  const { ok, verdict, text, advice, checks } = data;
  const isTold = arePausesTold && (verdict === 'submission_paused' || verdict === 'queue_paused');
  // Nothing to do is nothing to be warned of.
  const isIdle = verdict === 'nothing_open';
  return (
    <>
      <AsOf feed={feed} />
      <details open={isOpen} class={`panel why ${ok ? 'ok' : isIdle ? 'idle' : 'not-ok'}`}>
        <summary>
          <Icon name={ok ? 'ok' : isIdle ? 'info' : 'warning'} />
          <span class="verdict" aria-live="polite">
            <b>
              <Foreign text={isTold ? 'Nothing more is handed out until it is resumed' : sentence(text)} />
            </b>
            {advice === null || isTold ? null : (
              <span class="advice">
                <Foreign text={advice} />
              </span>
            )}
          </span>
          <span class="more">What was checked</span>
        </summary>
        <ol class="checks">
          {checks.map(({ code, ok: isOk, evidence }) => (
            <li key={code} class={isOk ? 'ok' : 'not-ok'}>
              <Icon name={isOk ? 'ok' : 'warning'} />
              <span class="check-name">{sentence(WHY_NAMES[code])}</span>
              <span>
                <Foreign text={evidence} />
              </span>
            </li>
          ))}
        </ol>
      </details>
    </>
  );
}

/** By itself: what needs attention links to it. */
export function WhyView() {
  return (
    <section>
      <Heading level={1}>Why</Heading>
      <WhyPanel submission={null} isOpen />
    </section>
  );
}
