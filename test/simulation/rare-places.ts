/**
 * What is legal at any time but rarely happens by itself, and is made to happen here: what a caller sees of the store, the
 * clock and the network goes through decorators; an option has an odd value for the whole life of a process; and what no
 * port reaches is done to a method, in `rare-methods.ts`.
 */
export const RARE_PLACES = [
  'store: a commit is not sent',
  'store: a commit takes place and is told as refused',
  'store: a commit takes place and nobody hears of it',
  'store: a commit is told late',
  'store: a commit takes very long',
  'store: the last seq cannot be read',
  'store: contents cannot be read',
  'clock: a timer fires early',
  'clock: what is due soon comes late',
  'clock: it steps back',
  'clock: it leaps ahead',
  'connection: a ping for nothing',
  'connection: a peer is given up early',
  'connection: a peer is taken for one that does not read',
  'options: reservations are short',
  'options: little may wait for its commit',
  'options: few inputs are kept',
  'options: handing out is held at once',
  'options: answers are small',
  'options: what is old is forgotten one by one',
  'method: a batch of one mutation',
  'method: a batch of few bytes',
  'method: who waits for a commit hears of it late',
  'method: an answer of one chunk',
  'method: a plan is made anew',
  'method: a failed chunk is delayed',
  'method: the first broken connection delays',
  'method: woken for nothing',
  'method: an answer goes the long way',
] as const;

export type RarePlace = (typeof RARE_PLACES)[number];
