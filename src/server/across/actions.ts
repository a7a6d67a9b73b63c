import { CountChangedError, NothingMatchesError, OpsqueueError } from '../../model/errors.ts';
import type { ShardId, SubmissionId } from '../../model/ids.ts';
import type { VerbAnswer, VerbRequest, VerbTarget } from '../../model/verbs.ts';
import { parseActionAnswer, parseProblem } from '../../protocol/producer/action-answers.ts';
import { formatActionRequest } from '../../protocol/producer/actions.ts';
import { nothingChanged, QueueUnavailableError } from '../../queue/errors.ts';
import { filterText } from '../../queue/verbs/changes.ts';
import type { Across } from './across.ts';
import type { NodeAddress } from './fan-out.ts';
import { mergeVerbAnswers } from './verb-answers.ts';

export interface ActionsAcrossOptions {
  readonly across: Across;
  /** Does it to what is here, if this node has those shards ready; nothing to do is no error. */
  runHere(request: VerbRequest, shards: readonly ShardId[]): Promise<VerbAnswer>;
}

/** What is to be done on one node. */
interface Part {
  readonly node: 'here' | NodeAddress;
  readonly target: VerbTarget;
  /** Which it must have ready; none for what is named. */
  readonly shards: readonly ShardId[];
}

/** Of one part, or why there is nothing to say: it does not answer. */
type PartAnswer = VerbAnswer | NodeAddress;

/** A node may commit thousands of changes before it answers. */
const ACT_MS_MAX = 30_000;
/** Ids that are looked for in the store at a time. */
const LOOKS_AT_ONCE = 32;

/**
 * Verbs for submissions that may be on several nodes: by a filter without a queue, or by their ids. It counts first, on all
 * of them, so that nothing happens where a node does not answer, or more match than were expected.
 */
export class ActionsAcross {
  readonly #o: ActionsAcrossOptions;

  constructor(options: ActionsAcrossOptions) {
    this.#o = options;
  }

  /**
   * @param target of the request
   * @throws NothingMatchesError, CountChangedError; QueueUnavailableError: a node does not answer, or nobody has a shard, and
   *   nothing was changed
   */
  async run(
    request: VerbRequest,
    target: Extract<VerbTarget, { kind: 'submissions' | 'matching' }>,
  ): Promise<VerbAnswer> {
    const parts = target.kind === 'matching' ? this.#everywhere(target) : await this.#byOwner(target);
    const counts = await this.#all(
      parts.map((part) => this.#do({ ...request, isDryRun: true, expected: null }, part)),
    );
    const matched = sum(counts.map((count) => count.matched));
    if (matched === 0 && target.kind === 'matching') {
      const what = request.change.verb === 'retry' ? 'submission with failures' : undefined;
      throw new NothingMatchesError(filterText(target), what);
    }
    const { expected } = request;
    if (expected !== null && matched > expected) throw new CountChangedError(matched, expected);
    if (request.isDryRun) return checked(mergeVerbAnswers(counts));
    const done = parts.map((part, i) => {
      const count = counts[i]!;
      // What a node has not to do anything about is told as it was counted.
      if (count.done === 0) return Promise.resolve({ ...count, isDryRun: false });
      const left = expected === null ? null : expected - (matched - count.matched);
      return this.#do({ ...request, expected: left }, part);
    });
    return this.#merged(await Promise.allSettled(done));
  }

  #everywhere(target: VerbTarget): Part[] {
    const { here, elsewhere } = this.#o.across.allPlaces();
    const others = Array.from(elsewhere, ([node, shards]) => ({ node, target, shards }));
    return [{ node: 'here', target, shards: here }, ...others];
  }

  async #byOwner(target: Extract<VerbTarget, { kind: 'submissions' }>): Promise<Part[]> {
    const { across } = this.#o;
    const ids = [...new Set(target.ids)];
    const parts = new Map<string, { readonly node: 'here' | NodeAddress; readonly ids: SubmissionId[] }>();
    for (let from = 0; from < ids.length; from += LOOKS_AT_ONCE) {
      const some = ids.slice(from, from + LOOKS_AT_ONCE);
      const queues = await Promise.all(some.map((id) => across.queueOf(id)));
      for (const [i, id] of some.entries()) {
        const queue = queues[i] ?? null;
        // Of one that is not known, any node says so.
        const node = queue === null ? 'here' : across.ownerOf(queue);
        if (node === null) throw nothingChanged(`no node has queue ${JSON.stringify(queue)} at the moment`);
        const key = node === 'here' ? node : node.node;
        const part = parts.get(key) ?? { node, ids: [] };
        parts.set(key, part);
        part.ids.push(id);
      }
    }
    return Array.from(parts.values(), (part) => ({
      node: part.node,
      target: { ...target, ids: part.ids },
      shards: [],
    }));
  }

  async #do(request: VerbRequest, { node, target, shards }: Part): Promise<PartAnswer> {
    const { across, runHere } = this.#o;
    const { verb } = request.change;
    const nothing = { ...NOTHING, verb, isDryRun: request.isDryRun };
    if (node === 'here') {
      try {
        return await runHere({ ...request, target }, shards);
      } catch (error) {
        if (error instanceof NothingMatchesError) return nothing;
        throw error;
      }
    }
    const body = formatActionRequest({ ...request, target });
    const question = { path: `actions/${verb}`, body, timeoutMs: ACT_MS_MAX, shards };
    const told = await across.fanOut.askNode(node, question);
    if (!('answer' in told)) return node;
    const { status, body: text } = told.answer;
    if (status !== 200 && parseProblem(status, text)?.code === NOTHING_MATCHES) return nothing;
    return across.fanOut.read(told, question, (each) => parseActionAnswer(verb, each)) ?? node;
  }

  /** @throws QueueUnavailableError if one is missing */
  async #all(asked: readonly Promise<PartAnswer>[]): Promise<VerbAnswer[]> {
    const answers = await Promise.all(asked);
    return answers.map((answer) => {
      if (isAnswer(answer)) return answer;
      throw nothingChanged(`node ${answer.address} has not its shards ready, or does not answer`);
    });
  }

  /** What failed on one is of no matter to what was done on others. */
  #merged(settled: readonly PromiseSettledResult<PartAnswer>[]): VerbAnswer {
    const answers = settled.map((each) => (each.status === 'fulfilled' ? each.value : this.#o.across.self));
    const failed = settled.find((each) => each.status === 'rejected');
    const found = answers.filter(isAnswer);
    const missing = answers.flatMap((answer) => (isAnswer(answer) ? [] : [answer.address]));
    // Only this node tells by an error why it did nothing.
    const isNothingDone = missing.length === 1 && found.every(({ done }) => done === 0);
    if (failed !== undefined && isNothingDone) throw failed.reason;
    if (found.length === 0) {
      throw new QueueUnavailableError(
        `nodes ${missing.join(', ')} do not answer: what was changed is not known`,
      );
    }
    return {
      ...checked(mergeVerbAnswers(found)),
      ...(missing.length === 0 ? {} : { nodesMissing: missing }),
    };
  }
}

const NOTHING_MATCHES = 'NOTHING_MATCHES';
const NOTHING = {
  matched: 0,
  done: 0,
  unchanged: 0,
  stillPaused: 0,
  holds: [],
  ids: [],
  skipped: [],
} as const;

/** @throws the error of the first that was skipped, if that is true of all: as where there is one node */
function checked(answer: VerbAnswer): VerbAnswer {
  const [skipped] = answer.skipped;
  if (answer.done > 0 || answer.unchanged > 0 || skipped === undefined) return answer;
  throw new OpsqueueError(skipped.code, skipped.text);
}

function isAnswer(answer: PartAnswer): answer is VerbAnswer {
  return 'verb' in answer;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
