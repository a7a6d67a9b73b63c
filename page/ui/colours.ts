import { useEffect, useState } from 'preact/hooks';
import { isDark, preferences } from '../lib/preferences.ts';
import { useStore } from '../lib/store.ts';

const MEDIA = ['(prefers-color-scheme: dark)', '(forced-colors: active)'];
/** As they were looked up, by scheme and name: to look takes the browser through the style of the whole page. */
const found = new Map<string, string>();

/** A colour of the style sheet as it is now, for what is drawn. */
export function colour(name: string): string {
  const key = `${scheme()} ${name}`;
  const value = found.get(key) ?? lookUp(name);
  found.set(key, value);
  return value;
}

function scheme(): string {
  return `${isDark() ? 'dark' : 'light'} ${matchMedia(MEDIA[1] ?? '').matches ? 'forced' : ''}`;
}

function lookUp(name: string): string {
  const probe = document.createElement('span');
  probe.className = `swatch-${name}`;
  probe.hidden = true;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** Changes whenever colours do. */
export function useColourScheme(): string {
  useStore(preferences);
  const [, redraw] = useState(0);
  useEffect(() => {
    const changed = () => redraw((count) => count + 1);
    const queries = MEDIA.map((query) => matchMedia(query));
    for (const query of queries) query.addEventListener('change', changed);
    return () => {
      for (const query of queries) query.removeEventListener('change', changed);
    };
  }, []);
  return scheme();
}
