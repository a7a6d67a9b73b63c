import { VERSION } from '../model/version.ts';
import { formatDuration } from '../system/time/duration.ts';
import type { ServerFacts } from '../views/answers/queue-details.ts';
import { SETTINGS, type ServerSettings, type Setting } from './settings.ts';

/** What the server tells of itself: how it is set up, without secrets, and on what it runs. */
export function serverFacts(
  settings: ServerSettings,
  { connectionsRejected, address }: Pick<ServerFacts, 'connectionsRejected' | 'address'>,
): ServerFacts {
  const { store } = settings;
  const storeKind = typeof store === 'string' ? store.slice(0, store.indexOf(':')) : 'sqlite';
  return {
    version: VERSION,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    memoryBytes: () => process.memoryUsage.rss(),
    settings: settingsTold(settings),
    storeKind: store === undefined || typeof store === 'string' ? storeKind : 'custom',
    connectionsRejected,
    address,
  };
}

function settingsTold(settings: ServerSettings): ServerFacts['settings'] {
  const told = Object.entries<Setting>(SETTINGS).map(([name, setting]) => {
    const value: unknown = settings[name as keyof ServerSettings];
    return [/--[a-z-]+/.exec(setting.flag)![0], valueTold(setting, value)] as const;
  });
  return Object.fromEntries(told);
}

function valueTold(setting: Setting, value: unknown): ServerFacts['settings'][string] {
  // The URL of a store may hold a password.
  if (setting.kind === 'store')
    return typeof value === 'string' ? value.slice(0, value.indexOf(':') + 1) : null;
  if (setting.kind === 'duration' && typeof value === 'number') return formatDuration(value);
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return Array.isArray(value) ? value.map(String) : null;
}
