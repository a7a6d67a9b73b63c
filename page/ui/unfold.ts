import { useEffect, useState } from 'preact/hooks';
import { inTurn } from '../lib/turns.ts';

const STEP = 12;

/** How many of that many rows to show: the first ones at once, the others soon, some in each task of the browser. */
export function useUnfolded(total: number): number {
  const [shown, show] = useState(STEP);
  useEffect(() => {
    if (shown >= total) return undefined;
    return inTurn(() => show(shown + STEP));
  }, [shown, total]);
  return Math.min(shown, total);
}
