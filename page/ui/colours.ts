import { useEffect, useState } from 'preact/hooks';
import { isDark, preferences } from '../lib/preferences.ts';
import { useStore } from '../lib/store.ts';

/** A colour of the style sheet as it is now, for what is drawn. */
export function colour(name: string): string {
  const probe = document.createElement('span');
  probe.className = `swatch-${name}`;
  probe.hidden = true;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const MEDIA = ['(prefers-color-scheme: dark)', '(forced-colors: active)'];

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
  return `${isDark() ? 'dark' : 'light'} ${matchMedia(MEDIA[1] ?? '').matches ? 'forced' : ''}`;
}
