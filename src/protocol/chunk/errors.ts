import { OpsqueueError } from '../../model/errors.ts';

/** The bytes of a chunk are not what its codec writes: cut short, trailing bytes, no array, or something else altogether. */
export class ChunkUndecodableError extends OpsqueueError {
  constructor(message: string, options?: ErrorOptions) {
    super('CHUNK_UNDECODABLE', message, options);
  }
}

/** An operation or a result that the codec has no form for: a function, a cycle, ... `path` says where it is. */
export class ChunkUnencodableError extends OpsqueueError {
  /** Such as `[3].name`. In the message the middle of a long one is left out. */
  readonly path: string;
  /** What is wrong with it. */
  readonly why: string;

  constructor(path: string, why: string, options: { readonly cause?: unknown } = {}) {
    const cause = options.cause === undefined ? undefined : { cause: options.cause };
    super(
      'CHUNK_UNENCODABLE',
      `${path === '' ? 'the chunk' : shortened(path)} cannot be encoded: ${why}`,
      cause,
    );
    this.path = path;
    this.why = why;
  }
}

/** A cycle has a path of hundreds of steps, and what is wrong stands behind it. */
function shortened(path: string): string {
  return path.length <= 200 ? path : `${path.slice(0, 120)} ... ${path.slice(-60)}`.toWellFormed();
}
