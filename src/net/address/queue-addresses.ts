import { IncorrectUsageError } from '../../model/errors.ts';
import type { Absence } from '../absence.ts';
import { parseQueueUrl, type QueueUrl, refuseCredentials } from './queue-url.ts';

/** Addresses of one queue. Each costs a connection of every client while none answers. */
export const QUEUE_ADDRESSES_MAX = 32;
/**
 * How long an address may take to connect while there are others, in milliseconds; doubled after each round without success but
 * the first: in that one a node that hangs and one that is about to take over may have failed.
 */
const CONNECT_FIRST_MS_MAX = 3_000;
const CONNECT_DOUBLINGS_MAX = 10;

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;

/**
 * The addresses of one queue, and which one to try next: the one that worked last, until it fails. Shared by all that a
 * client asks at the same time.
 */
export class QueueAddresses {
  /** At least one. */
  readonly all: readonly QueueUrl[];
  /** The name of the queue, which all of them have; '' for the unnamed one. */
  readonly queue: string;
  /** All of them, or none, with TLS. */
  readonly secure: boolean;
  /** For logs and errors. */
  readonly text: string;
  /** Why they failed since one worked, the latest last. */
  readonly absences = new Map<QueueUrl, Absence>();
  #at = 0;
  /** How often the next one had its turn since one worked. */
  #moves = 0;

  constructor(all: readonly [QueueUrl, ...QueueUrl[]]) {
    this.all = all;
    this.queue = all[0].queue;
    this.secure = all[0].secure;
    this.text = all.map(({ text }) => text).join(',');
  }

  /** The one to try. */
  get current(): QueueUrl {
    return this.all[this.#at]!;
  }

  /** Those that have not connected by then are taken for dead, in milliseconds: one host that drops packets must not hold up the others. */
  get connectMsMax(): number {
    if (this.all.length === 1) return Infinity;
    const rounds = Math.floor(this.#moves / this.all.length);
    return CONNECT_FIRST_MS_MAX * 2 ** Math.min(Math.max(rounds - 1, 0), CONNECT_DOUBLINGS_MAX);
  }

  worked(url: QueueUrl): void {
    this.#at = Math.max(this.all.indexOf(url), 0);
    this.#moves = 0;
    this.absences.clear();
  }

  /** It is the next one's turn, unless another request has found that out already. */
  failed(url: QueueUrl, absence: Absence): void {
    this.absences.delete(url);
    this.absences.set(url, absence);
    if (url !== this.current) return;
    this.#at = (this.#at + 1) % this.all.length;
    this.#moves++;
  }
}

/**
 * Reads the addresses of a queue: one as {@link parseQueueUrl} takes it, or several with commas between. A scheme in front of the
 * first one holds for those after it that have none. The path, with the name of the queue, stands behind the last one and
 * holds for all, or behind each of them.
 *
 * @throws IncorrectUsageError naming what is wrong, and never a password
 */
export function parseQueueAddresses(text: string): QueueAddresses {
  if (typeof text !== 'string' || !text.includes(',')) return new QueueAddresses([parseQueueUrl(text)]);
  refuseCredentials(text);
  const parts = text.split(',').map((part) => part.trim());
  if (parts.includes('')) throw wrong(text, 'has an empty address', 'remove the comma');
  const [first, ...others] = spreadPath(text, spreadScheme(text, parts)).map(parseQueueUrl);
  const all = distinct([first!, ...others]);
  if (all.length > QUEUE_ADDRESSES_MAX)
    throw wrong(text, `has ${all.length} addresses`, `give at most ${QUEUE_ADDRESSES_MAX}`);
  for (const { secure, queue } of all) {
    if (secure !== all[0].secure)
      throw wrong(text, 'has addresses with TLS and others without', 'give all of them the same scheme');
    if (queue !== all[0].queue)
      throw wrong(text, 'names different queues', 'put /q/NAME behind the last address only');
  }
  return new QueueAddresses(all);
}

function spreadScheme(text: string, parts: readonly string[]): readonly string[] {
  const scheme = SCHEME.exec(parts[0]!)?.[0];
  if (scheme !== undefined) return parts.map((part) => (SCHEME.test(part) ? part : scheme + part));
  const later = parts.find((part) => SCHEME.test(part));
  if (later === undefined) return parts;
  throw wrong(
    text,
    `has a scheme (${SCHEME.exec(later)?.[0]}) but not in front of its first address`,
    'put it there',
  );
}

function spreadPath(text: string, parts: readonly string[]): readonly string[] {
  const paths = parts.map((part) => /^[^/]*(\/.*)$/s.exec(part.replace(SCHEME, ''))?.[1] ?? '');
  if (!paths.includes('')) return parts;
  const last = paths.at(-1)!;
  const before = paths.slice(0, -1).find((path) => path.length > 1);
  if (before === undefined) return parts.map((part, at) => (paths[at] === '' ? part + last : part));
  throw wrong(
    text,
    `has the path ${before} behind an address but none behind another one`,
    'put it behind the last one, where it holds for all, or behind each; a comma in a path is %2C',
  );
}

function distinct([first, ...others]: readonly [QueueUrl, ...QueueUrl[]]): [QueueUrl, ...QueueUrl[]] {
  const known = new Set([first.text]);
  return [first, ...others.filter(({ text }) => !known.has(text) && known.add(text))];
}

function wrong(text: string, what: string, advice: string): IncorrectUsageError {
  return new IncorrectUsageError(`the list of addresses of the queue ${what}: "${text}" (${advice})`);
}
