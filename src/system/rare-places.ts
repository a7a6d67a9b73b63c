/**
 * Where something rare can be made to happen of its own accord: a batch of one mutation, an answer of the store that
 * gets lost, a reservation that expires early. All of it is legal at any time, and may never show in a result.
 *
 * Each place asks the {@link Random} that it was handed; the simulation's says yes now and then, any other one never.
 */
export const RARE_PLACES = [
  'journal: a batch of one mutation',
  'journal: a batch of few bytes',
  'journal: a batch is cut late',
  'journal: a commit is told late',
  'journal: a commit is not sent',
  'journal: a commit takes place and is told as refused',
  'journal: a commit takes place and nobody hears of it',
  'journal: the last seq cannot be read',
  'journal: a commit counts as stuck at once',
  'store watch: handing out is held at once',
  'scheduler: an answer of one chunk',
  'scheduler: a plan is made anew',
  'scheduler: a reservation expires early',
  'scheduler: a failed chunk is delayed',
  'scheduler: the first broken connection delays',
  'queue: a deadline comes early',
  'inserts: refused, too much waits',
  'inserts: the clock steps back',
  'inserts: ids leap ahead',
  'inserts: on the schedule late',
  'inserts: inputs are not kept',
  'endings: the input of a failed chunk cannot be read',
  'endings: forgotten late',
  'progress: woken for nothing',
  'session: an answer goes the long way',
  'session: an answer is full after one chunk',
  'session: inputs cannot be read',
  'session: a peer is taken for one that does not read',
  'heartbeat: a ping for nothing',
  'heartbeat: a peer is given up early',
  'retention: at once',
  'retention: one at a time',
] as const;

export type RarePlace = (typeof RARE_PLACES)[number];
