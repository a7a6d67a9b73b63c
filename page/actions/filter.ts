/** States that actions can go by. */
const STATES = ['open', 'waiting', 'running', 'paused', 'delayed'];
/** Parameters that do not choose submissions. */
const NO_FILTERS = ['sort', 'order', 'cursor', 'limit', 'group'];
const NAMED = ['state', 'meta', 'failure', 'queue'];

/** The query of a list of submissions, as actions name what it is of; null for one that they cannot name. */
export function filterOf(query: URLSearchParams): Readonly<Record<string, unknown>> | null {
  const state = query.get('state') ?? 'open';
  const others = [...query.keys()].filter((name) => ![...NAMED, ...NO_FILTERS].includes(name));
  if (!STATES.includes(state) || others.length > 0) return null;
  const pairs = query.getAll('meta').map((pair) => {
    const colon = pair.lastIndexOf(':');
    return [pair.slice(0, colon), pair.slice(colon + 1)] as const;
  });
  const [failure, queue] = [query.get('failure'), query.get('queue')];
  return {
    ...(pairs.length === 0 ? {} : { metadata: Object.fromEntries(pairs) }),
    ...(state === 'open' ? {} : { state }),
    ...(failure === null ? {} : { failure }),
    ...(queue === null ? {} : { queue }),
  };
}
