import { serverText } from '../../src/protocol/api/lists.ts';
import { currentRoute, ownQueue, queueOf } from './route.ts';
import { Store } from './store.ts';

/** What people call the server, which writes it into the page; empty: nothing. */
export const serverName = document.documentElement.dataset.name ?? '';

const ownText = serverText(serverName, document.documentElement.dataset.version ?? '');

/** What answers at this address by now. */
export interface OtherServer {
  readonly name: string;
  readonly version: string;
  /** It is another version of what the page came from. */
  readonly isSame: boolean;
}

/** null: what the page came from. */
export const otherServer = new Store<OtherServer | null>(null);
let heardText = ownText;

/** @param text of an answer; null: it does not say */
export function learnServer(text: string | null): void {
  if (text === null || text === heardText) return;
  heardText = text;
  const [name = '', version = ''] = text.split('/').map(decodeURIComponent);
  otherServer.set(text === ownText ? null : { name, version, isSame: name === serverName });
}

/** `localhost:3999/q/images` */
const address = location.host + location.pathname.replace(/\/$/, '');

/** What the page is of, the queue that was chosen first: for its title. */
export function wholeName(): string {
  const server = serverName === '' ? address : serverName;
  // The address has it.
  const own = serverName === '' || ownQueue === '' ? null : ownQueue;
  const queue = queueOf(currentRoute()) ?? own;
  return queue === null ? server : `${queue === '-' ? 'unnamed queue' : queue} – ${server}`;
}

/** Gives a server with a name a colour of its own, here and in the tab. */
export function colourByName(): void {
  if (serverName === '') return;
  let hash = 0;
  for (const character of serverName) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 360;
  document.documentElement.style.setProperty('--hue', String(hash));
  const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]');
  if (icon !== null) icon.href = icon.href.replace(/%230f6cbd/i, encodeURIComponent(`hsl(${hash} 70% 42%)`));
}
