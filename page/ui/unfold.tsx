import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { count } from '../../src/protocol/api/words.ts';
import { inTurn } from '../lib/turns.ts';

const STEP = 12;
/** Of a list, on a phone, until somebody wants more. */
const ROWS_NARROW = 10;
/** As in the style sheet. */
const NARROW = matchMedia('(max-width: 640px)');

/** Whether there is room for one thing beside another. */
export function useNarrow(): boolean {
  const [isNarrow, setNarrow] = useState(NARROW.matches);
  useEffect(() => {
    const changed = () => setNarrow(NARROW.matches);
    changed();
    NARROW.addEventListener('change', changed);
    return () => NARROW.removeEventListener('change', changed);
  }, []);
  return isNarrow;
}

/** How many of that many rows to show: the first ones at once, the others soon, some in each task of the browser; on a phone some, with a button for all. */
export function useUnfolded(total: number): {
  readonly shown: number;
  /** There are more on the way. */
  readonly isBusy: boolean;
  readonly more: ComponentChildren;
} {
  const [isAll, setAll] = useState(false);
  const [shown, show] = useState(STEP);
  const isCut = useNarrow() && !isAll && total > ROWS_NARROW;
  const wanted = isCut ? ROWS_NARROW : total;
  useEffect(() => {
    if (shown >= wanted) return undefined;
    return inTurn(() => show(shown + STEP));
  }, [shown, wanted]);
  return {
    shown: Math.min(shown, wanted),
    isBusy: shown < wanted,
    more: isCut ? (
      <button type="button" class="quiet more-rows" onClick={() => setAll(true)}>
        Show all {count(total)}
      </button>
    ) : null,
  };
}

/** What is secondary: on a phone below its title, once somebody wants it. What has been there stays, whatever becomes of the window. */
export function Fold({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
  const isNarrow = useNarrow();
  const [isOpen, setOpen] = useState(!isNarrow);
  return (
    <details
      class="fold"
      open={isOpen || !isNarrow}
      onToggle={({ currentTarget: { open } }) => setOpen(open)}
    >
      <summary>{title}</summary>
      {isOpen || !isNarrow ? children : null}
    </details>
  );
}
