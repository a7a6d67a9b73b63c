import { Store } from './store.ts';

/** What a viewer has chosen; it is kept in this browser. */
export interface Preferences {
  readonly theme: 'system' | 'light' | 'dark';
  readonly isUtc: boolean;
  /** Between two requests for the same figures; 0: only when asked to. */
  readonly intervalMs: number;
  /** Keys without a modifier do something. */
  readonly hasKeys: boolean;
  /** Goes into the history of what is done; empty: the address that the queue sees. */
  readonly name: string;
  /** Columns of the list of submissions that are not shown. */
  readonly hiddenColumns: readonly string[];
}

export const INTERVALS_MS = [1_000, 2_000, 5_000, 15_000, 0];
export const DEFAULT_INTERVAL_MS = 1_000;

const KEY = 'opsqueue';
const DEFAULTS: Preferences = {
  theme: 'system',
  isUtc: false,
  intervalMs: DEFAULT_INTERVAL_MS,
  hasKeys: true,
  name: '',
  hiddenColumns: [],
};

export const preferences = new Store<Preferences>(load());

export function choose(changes: Partial<Preferences>): void {
  preferences.set({ ...preferences.value, ...changes });
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences.value));
  } catch {
    // Without storage a choice lasts as long as the page.
  }
}

/** What is stored may be of an older page, or anyone's. */
function load(): Preferences {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    const { theme, isUtc, intervalMs, hasKeys, name, hiddenColumns } = stored as Partial<
      Record<keyof Preferences, unknown>
    >;
    return {
      theme: theme === 'light' || theme === 'dark' ? theme : 'system',
      isUtc: isUtc === true,
      intervalMs: INTERVALS_MS.find((each) => each === intervalMs) ?? DEFAULT_INTERVAL_MS,
      hasKeys: hasKeys !== false,
      name: typeof name === 'string' ? name.slice(0, 100) : '',
      hiddenColumns: Array.isArray(hiddenColumns)
        ? hiddenColumns.filter((each) => typeof each === 'string')
        : [],
    };
  } catch {
    return DEFAULTS;
  }
}

/** The style sheet does the rest. */
export function applyTheme(): void {
  const { theme } = preferences.value;
  const { dataset } = document.documentElement;
  if (theme === 'system') delete dataset.theme;
  else dataset.theme = theme;
}

export function isDark(): boolean {
  const { theme } = preferences.value;
  return theme === 'dark' || (theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
}
