import type { Wanted } from './scene.ts';

/** Where our server does something else than the recorded one, on purpose. */
export interface Deviation {
  readonly session: string;
  /** The number of the recorded message, from 0. */
  readonly message: number;
  readonly differs: /** Ours does not send this message (or sent it before). */
    | { readonly kind: 'not sent' }
    /** Ours says why before it ends the connection: a close frame with this code. */
    | { readonly kind: 'close frame'; readonly code: number | null }
    /** Ours answers with another status line, body or list of header names. */
    | {
        readonly kind: 'answer';
        readonly statusLine?: string;
        readonly body?: string;
        /** Words of ours. */
        readonly anyBody?: boolean;
        readonly headers?: readonly string[];
      }
    /** Ours sends what the recording has as another message. */
    | { readonly kind: 'as message'; readonly message: number }
    /** Ours answers an insert with the id of the submission before. */
    | { readonly kind: 'same id' };
  readonly reason: string;
}

/** Something that happened outside of a recording. */
export type SceneStep =
  | { readonly kind: 'insert'; readonly wanted: Wanted }
  | { readonly kind: 'complete'; readonly recordedId: bigint; readonly chunkIndexes: readonly number[] };
