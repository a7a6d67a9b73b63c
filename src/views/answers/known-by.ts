import { listedQueue } from '../../model/queue-name.ts';
import type { StrategicMetadata, SubmissionRecord } from '../../model/submission.ts';
import type {
  Attention,
  AttentionCode,
  AttentionLink,
  NamedSubmission,
  Severity,
} from '../../protocol/api/overview.ts';
import { plural } from '../../protocol/api/words.ts';
import { withoutNumbers } from '../fingerprint.ts';

/** Of pairs of metadata in a sentence. */
const PAIRS_MAX = 3;
const PREFIX_CHARS_MAX = 60;
/** Submissions that are named. */
const NAMED_MAX = 3;

/** A submission, by what people know of it. */
export type Known = Pick<SubmissionRecord, 'id' | 'queue' | 'prefix'> & {
  readonly metadata: StrategicMetadata;
};

/** Adds an item of what needs attention. */
export type Add = (
  code: AttentionCode,
  severity: Severity,
  text: string,
  link: AttentionLink,
  count?: number,
  about?: Pick<Attention, 'submissions' | 'metadata' | 'example'>,
) => void;

/** Gathers the submissions that something is about: the latest of them by name, and the metadata that all of them carry. */
export class Concerned {
  count = 0;
  readonly #latest: NamedSubmission[] = [];
  #shared: Map<string, bigint> | null = null;

  /** @param submission the latest one comes first */
  add(submission: Known): void {
    const { metadata } = submission;
    this.count++;
    if (this.#shared === null) this.#shared = new Map(metadata);
    else for (const [key, value] of this.#shared) if (metadata.get(key) !== value) this.#shared.delete(key);
    if (this.#latest.length === NAMED_MAX) return;
    this.#latest.push(namedSubmission(submission));
  }

  /** So many more, of which nothing is known: nor what all of them share. */
  addUnseen(count: number): void {
    if (count <= 0) return;
    this.count += count;
    this.#shared = new Map();
  }

  get facts(): Pick<Attention, 'submissions' | 'metadata'> {
    return { submissions: this.#latest, metadata: textPairs(this.#shared ?? new Map()) };
  }

  /**
   * `submission 7 (customer 42, thumbnails)`; `12 submissions in queue images, all with customer 42,`: goes on with a verb.
   *
   * @param where ` in queue images`, or nothing
   */
  inWords(where = ''): string {
    const { submissions, metadata } = this.facts;
    const [first] = submissions;
    if (this.count === 1 && first !== undefined) {
      const known = [...pairsInWords(first.metadata), ...prefixInWords(first.prefix)].join(', ');
      return `submission ${first.id}${known === '' ? '' : ` (${known})`}${where}`;
    }
    const shared = pairsInWords(metadata).join(', ');
    return `${plural(this.count, 'submission')}${where}${shared === '' ? '' : `, all with ${shared},`}`;
  }
}

/** Which queue, where all are looked at and it has a name. */
export function whereOf(asked: string | null, queue: string): string {
  return asked !== null || queue === '' ? '' : ` in queue ${queue}`;
}

export function namedSubmission({ id, queue, prefix, metadata }: Known): NamedSubmission {
  return { id: String(id), queue: listedQueue(queue), prefix, metadata: textPairs(metadata) };
}

export function textPairs(pairs: StrategicMetadata): Readonly<Record<string, string>> {
  return Object.fromEntries(Array.from(pairs, ([key, value]) => [key, String(value)]));
}

function pairsInWords(metadata: Readonly<Record<string, string>>): string[] {
  return Object.entries(metadata)
    .slice(0, PAIRS_MAX)
    .map(([key, value]) => `${key} ${value}`);
}

/** None where a program made it up. */
function prefixInWords(prefix: string | null): string[] {
  if (prefix === null || withoutNumbers(prefix) === '#') return [];
  return [
    prefix.length > PREFIX_CHARS_MAX ? `${prefix.slice(0, PREFIX_CHARS_MAX).toWellFormed()}...` : prefix,
  ];
}
