import { useEffect } from 'preact/hooks';
import { asked } from './actions/actions.ts';
import { isPaused } from './lib/live.ts';
import { choose, isDark, preferences } from './lib/preferences.ts';
import { goTo, hrefTo } from './lib/route.ts';

/** What follows a `g`. */
const PLACES: Readonly<Record<string, string>> = {
  o: '',
  s: 'submissions',
  c: 'consumers',
  v: 'values',
  f: 'failures',
  q: 'queue',
  e: 'events',
};
/** How long a `g` waits for what follows. */
const GO_MS = 1_500;

/** For the help. */
export const KEYS = [
  ['g o', 'overview'],
  ['g s', 'submissions'],
  ['g c', 'consumers'],
  ['g v', 'fairness'],
  ['g f', 'failures'],
  ['g q', 'queue'],
  ['g e', 'events'],
  ['/', 'filter'],
  ['j k', 'next and previous row'],
  ['Enter', 'open the row'],
  ['x', 'select the row'],
  ['p', 'stop asking for new figures, and go on'],
  ['t', 'light or dark colours'],
  ['u', 'UTC or local time'],
  ['?', 'this help'],
] as const;

/** Keys without a modifier, wherever no text is written and no dialog is open. */
export function useKeys(help: () => void): void {
  useEffect(() => {
    let goSince = Number.NEGATIVE_INFINITY;
    const press = (event: KeyboardEvent) => {
      if (!preferences.value.hasKeys || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target) || asked.value !== null || document.querySelector('dialog[open]') !== null)
        return;
      const { key, timeStamp } = event;
      const place = timeStamp - goSince < GO_MS ? PLACES[key] : undefined;
      goSince = Number.NEGATIVE_INFINITY;
      if (place !== undefined) goTo(hrefTo(place));
      else if (key === 'g') goSince = timeStamp;
      else if (key === '/') focusFilter();
      else if (key === 'j') focusRow(1);
      else if (key === 'k') focusRow(-1);
      else if (key === 'x') selectRow();
      else if (key === 'p') isPaused.set(!isPaused.value);
      else if (key === 't') choose({ theme: isDark() ? 'light' : 'dark' });
      else if (key === 'u') choose({ isUtc: !preferences.value.isUtc });
      else if (key === '?') help();
      else return;
      event.preventDefault();
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  }, [help]);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return target.type !== 'checkbox';
  return ['TEXTAREA', 'SELECT'].includes(target.tagName);
}

/** Where there is none, on the list of submissions. */
function focusFilter(): void {
  const filter = document.getElementById('filter');
  if (filter !== null) {
    filter.focus();
    return;
  }
  goTo(hrefTo('submissions'));
  requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById('filter')?.focus()));
}

function focusRow(step: number): void {
  const links = [...document.querySelectorAll<HTMLElement>('main .row-link, main .failures summary')];
  const row = document.activeElement?.closest('tr, li') ?? null;
  const at = row === null ? -1 : links.findIndex((link) => row.contains(link));
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
  links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
}

function selectRow(): void {
  document.activeElement?.closest('tr')?.querySelector<HTMLInputElement>('.choose input')?.click();
}
