import { useState } from 'preact/hooks';
import { absolute, zoneName } from '../lib/format.ts';
import { preferences } from '../lib/preferences.ts';
import { useStore } from '../lib/store.ts';
import { Icon } from '../ui/icons.tsx';
import type { Before, Fields } from './action.ts';

interface PairRow {
  readonly key: string;
  readonly value: string;
}

/** What a time is to be: as it is, none, or the one that is written, as `datetime-local` writes it. */
interface TimeChoice {
  readonly kind: 'same' | 'none' | 'at';
  readonly text: string;
}

interface Draft {
  readonly pairs: readonly PairRow[];
  readonly deadline: TimeChoice;
  readonly startAfter: TimeChoice;
}

/**
 * What `set` changes: pairs of metadata, deadline, start.
 *
 * @param before null: of several submissions, which may differ
 * @param change gets what is different from before; null: nothing is
 */
export function SetFields({
  before,
  change,
}: {
  readonly before: Before | null;
  change(fields: Fields | null): void;
}) {
  const { isUtc } = useStore(preferences);
  const [draft, setDraft] = useState<Draft>(() => ({
    pairs: [
      ...Object.entries(before?.metadata ?? {}).map(([key, value]) => ({ key, value })),
      { key: '', value: '' },
    ],
    deadline: { kind: 'same', text: inputText(before?.deadline, isUtc) },
    startAfter: { kind: 'same', text: inputText(before?.start_after, isUtc) },
  }));
  const edit = (changes: Partial<Draft>) => {
    const next = { ...draft, ...changes };
    setDraft(next);
    change(fieldsOf(next, before, isUtc));
  };
  const editPair = (index: number, changes: Partial<PairRow>) =>
    edit({ pairs: draft.pairs.map((pair, i) => (i === index ? { ...pair, ...changes } : pair)) });
  return (
    <>
      <fieldset class="set-pairs">
        <legend>Metadata; a pair without a value is taken away</legend>
        {draft.pairs.map(({ key, value }, index) => (
          <div key={String(index)}>
            <input
              aria-label={`Key ${index + 1}`}
              placeholder="key"
              value={key}
              onInput={({ currentTarget }) => editPair(index, { key: currentTarget.value })}
            />
            <input
              aria-label={`Value of ${key === '' ? `key ${index + 1}` : key}`}
              placeholder="integer"
              inputMode="numeric"
              value={value}
              onInput={({ currentTarget }) => editPair(index, { value: currentTarget.value })}
            />
          </div>
        ))}
        <button
          type="button"
          class="quiet"
          onClick={() => edit({ pairs: [...draft.pairs, { key: '', value: '' }] })}
        >
          <Icon name="plus" /> Another pair
        </button>
      </fieldset>
      <TimeField
        label="Deadline"
        none="none"
        choice={draft.deadline}
        choose={(deadline) => edit({ deadline })}
      />
      <TimeField
        label="Not before"
        none="at once"
        choice={draft.startAfter}
        choose={(startAfter) => edit({ startAfter })}
      />
    </>
  );
}

function TimeField({
  label,
  none,
  choice: { kind, text },
  choose,
}: {
  readonly label: string;
  readonly none: string;
  readonly choice: TimeChoice;
  choose(choice: TimeChoice): void;
}) {
  const { isUtc } = useStore(preferences);
  return (
    <div class="field set-time">
      <label>
        <span>{label}</span>
        <select
          value={kind}
          onChange={({ currentTarget }) => choose({ kind: currentTarget.value as TimeChoice['kind'], text })}
        >
          <option value="same">as it is</option>
          <option value="none">{none}</option>
          <option value="at">at</option>
        </select>
      </label>
      {kind === 'at' ? (
        <label>
          <span>{zoneName(isUtc)} time</span>
          <input
            type="datetime-local"
            step="1"
            value={text}
            onInput={({ currentTarget }) => choose({ kind, text: currentTarget.value })}
          />
        </label>
      ) : null}
    </div>
  );
}

/** null: nothing is different, or a time is not written out yet. */
function fieldsOf(
  { pairs, deadline, startAfter }: Draft,
  before: Before | null,
  isUtc: boolean,
): Fields | null {
  const known = before?.metadata ?? {};
  // What has gone from the list of keys is to go.
  const named = new Map<string, string | null>(Object.keys(known).map((key) => [key, null]));
  for (const { key, value } of pairs) {
    const name = key.trim();
    if (name !== '') named.set(name, value.trim() === '' ? null : value.trim());
  }
  const changed = [...named].filter(([key, value]) => before === null || (known[key] ?? null) !== value);
  const times = [
    ['deadline', deadline],
    ['start_after', startAfter],
  ] as const;
  const fields: Record<string, unknown> =
    changed.length === 0 ? {} : { strategic_metadata: Object.fromEntries(changed) };
  for (const [name, { kind, text }] of times) {
    if (kind === 'same') continue;
    const at = kind === 'none' ? null : Date.parse(isUtc ? `${text}Z` : text);
    if (Number.isNaN(at)) return null;
    fields[name] = at === null ? null : new Date(at).toISOString();
  }
  return Object.keys(fields).length === 0 ? null : fields;
}

/** As `datetime-local` has it; an hour from now where there is none. */
function inputText(at: string | null | undefined, isUtc: boolean): string {
  const ms = typeof at === 'string' ? Date.parse(at) : Date.now() + 3_600_000;
  return absolute(ms, isUtc).replace(' ', 'T');
}
