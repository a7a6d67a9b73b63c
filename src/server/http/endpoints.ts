/** Who an endpoint is for; a reader sees what is going on, an operator changes it. There is no access control yet; it will go by this. */
export type Role = 'anyone' | 'producer' | 'consumer' | 'reader' | 'operator';

export interface Endpoint {
  /** Where GET works, HEAD does. */
  readonly method: 'GET' | 'POST';
  /** With at most one variable segment, `{name}`. Also the endpoint's label in the metrics. */
  readonly path: string;
  readonly role: Role;
  /** What the body must be; default: there is none. */
  readonly body?: 'json';
  /** A WebSocket is opened here. */
  readonly isUpgrade?: true;
}

/** Where producers talk to the queue. */
const SUBMISSIONS = '/producer/submissions';
/** What a node says of itself. */
const NODE = '/node';
/** Where people, their page and their scripts do. */
const API = '/api/v1';

/**
 * Every path that the server answers. Fixed paths win over those with a variable segment, which are tried in this order.
 */
export const ENDPOINTS = {
  page: { method: 'GET', path: '/', role: 'anyone' },
  asset: { method: 'GET', path: '/assets/{asset}', role: 'anyone' },
  ping: { method: 'GET', path: '/ping', role: 'anyone' },
  version: { method: 'GET', path: '/version', role: 'anyone' },
  producerVersion: { method: 'GET', path: '/producer/version', role: 'anyone' },
  metrics: { method: 'GET', path: '/metrics', role: 'operator' },
  node: { method: 'GET', path: NODE, role: 'operator' },
  nodeActive: { method: 'GET', path: `${NODE}/active`, role: 'anyone' },
  nodeAlive: { method: 'GET', path: `${NODE}/alive`, role: 'anyone' },
  consumer: { method: 'GET', path: '/consumer', role: 'consumer', isUpgrade: true },
  insert: { method: 'POST', path: SUBMISSIONS, role: 'producer', body: 'json' },
  count: { method: 'GET', path: `${SUBMISSIONS}/count`, role: 'producer' },
  countCompleted: { method: 'GET', path: `${SUBMISSIONS}/count_completed`, role: 'producer' },
  endedIds: { method: 'GET', path: `${SUBMISSIONS}/ended`, role: 'producer' },
  idsByMetadata: {
    method: 'POST',
    path: `${SUBMISSIONS}/lookup_ids_by_strategic_metadata`,
    role: 'producer',
    body: 'json',
  },
  known: { method: 'POST', path: `${SUBMISSIONS}/known`, role: 'producer', body: 'json' },
  cancel: { method: 'POST', path: `${SUBMISSIONS}/cancel/{submission_id}`, role: 'producer' },
  idByPrefix: { method: 'GET', path: `${SUBMISSIONS}/lookup_id_by_prefix/{prefix}`, role: 'producer' },
  status: { method: 'GET', path: `${SUBMISSIONS}/{submission_id}`, role: 'producer' },
  chunksDone: { method: 'GET', path: `${SUBMISSIONS}/{submission_id}/chunks_done`, role: 'producer' },
  failedChunks: { method: 'GET', path: `${SUBMISSIONS}/{submission_id}/chunks_failed`, role: 'producer' },
  directOutputs: { method: 'GET', path: `${SUBMISSIONS}/{submission_id}/direct_outputs`, role: 'producer' },
  overview: { method: 'GET', path: `${API}/overview`, role: 'reader' },
  history: { method: 'GET', path: `${API}/history`, role: 'reader' },
  submissions: { method: 'GET', path: `${API}/submissions`, role: 'reader' },
  failures: { method: 'GET', path: `${API}/failures`, role: 'reader' },
  consumers: { method: 'GET', path: `${API}/consumers`, role: 'reader' },
  keys: { method: 'GET', path: `${API}/keys`, role: 'reader' },
  values: { method: 'GET', path: `${API}/values`, role: 'reader' },
  events: { method: 'GET', path: `${API}/events`, role: 'reader' },
  why: { method: 'GET', path: `${API}/why`, role: 'reader' },
  queue: { method: 'GET', path: `${API}/queue`, role: 'reader' },
  queues: { method: 'GET', path: `${API}/queues`, role: 'reader' },
  nodes: { method: 'GET', path: `${API}/nodes`, role: 'reader' },
  openapi: { method: 'GET', path: `${API}/openapi.json`, role: 'reader' },
  submission: { method: 'GET', path: `${API}/submissions/{submission_id}`, role: 'reader' },
  map: { method: 'GET', path: `${API}/submissions/{submission_id}/map`, role: 'reader' },
  chunks: { method: 'GET', path: `${API}/submissions/{submission_id}/chunks`, role: 'reader' },
  consumerDetails: { method: 'GET', path: `${API}/consumers/{conn_id}`, role: 'reader' },
  action: { method: 'POST', path: `${API}/actions/{action}`, role: 'operator', body: 'json' },
} as const satisfies Readonly<Record<string, Endpoint>>;

/** @param path without the queue that it names */
export function isOfApi(path: string): boolean {
  return path === API || path.startsWith(`${API}/`);
}

export type EndpointName = keyof typeof ENDPOINTS;

/** Those whose paths begin so. */
type EndpointBelow<Path extends string> = {
  [Name in EndpointName]: (typeof ENDPOINTS)[Name]['path'] extends `${Path}${string}` ? Name : never;
}[EndpointName];
export type SubmissionEndpoint = EndpointBelow<typeof SUBMISSIONS>;
/** Of this node, whichever shards it has. */
export type NodeEndpoint = EndpointBelow<typeof NODE> | 'nodes';
export type ApiEndpoint = Exclude<EndpointBelow<typeof API>, NodeEndpoint>;

/** Those that are there only with `--page on`. */
export const PAGE_ENDPOINTS = ['page', 'asset'] as const satisfies readonly EndpointName[];
