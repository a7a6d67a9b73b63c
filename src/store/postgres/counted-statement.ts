import type { Connection, Submittable } from 'pg';
import { CannotBeSent } from './errors.ts';

export type SqlScalar = string | number | bigint | Uint8Array | null;

export interface SqlStatement {
  readonly text: string;
  readonly values: readonly SqlScalar[];
}

/** All that is used of a connection of `pg`, which has it beyond its types. */
interface Wire {
  readonly stream: { cork(): void; uncork(): void };
  /** By name; what has been sent, and not answered yet, apart. */
  readonly parsedStatements: Record<string, string | undefined>;
  readonly submittedNamedStatements: Record<string, string | undefined>;
  parse(statement: { name: string; text: string }): void;
  bind(to: { statement: string; values: readonly SqlScalar[]; valueMapper(value: SqlScalar): unknown }): void;
  execute(portal: object): void;
  sync(): void;
}

/**
 * A prepared statement of which one wants to know how many rows it answers, and no more. A query of `pg` copies what it is given,
 * asks for the columns of the answer each time and reads them: of a commit that somebody waits for, that is a part one notices.
 */
export class CountedStatement implements Submittable {
  readonly name: string;
  readonly text: string;
  readonly #values: readonly SqlScalar[];
  readonly #resolve: (rows: number) => void;
  readonly #reject: (error: unknown) => void;
  #rows = 0;

  constructor(
    name: string,
    { text, values }: SqlStatement,
    resolve: (rows: number) => void,
    reject: (error: unknown) => void,
  ) {
    this.name = name;
    this.text = text;
    this.#values = values;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: Connection): void {
    const wire: Wire = connection as Connection & Wire;
    const { name, text } = this;
    wire.stream.cork();
    try {
      if ((wire.parsedStatements[name] ?? wire.submittedNamedStatements[name]) === undefined) {
        wire.parse({ name, text });
        wire.submittedNamedStatements[name] = text;
      }
      wire.bind({ statement: name, values: this.#values, valueMapper: onWire });
      wire.execute({});
    } catch (cause) {
      this.#reject(new CannotBeSent(cause));
    } finally {
      // Also then: `pg` waits for the answer to it before it sends what comes next.
      wire.sync();
      wire.stream.uncork();
    }
  }

  handleDataRow(): void {
    this.#rows++;
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#resolve(this.#rows);
  }

  handleError(error: unknown): void {
    this.#reject(error);
  }
}

/** Bytes go as they are, all else as text. */
function onWire(value: SqlScalar): Buffer | string | null {
  if (value === null || typeof value === 'string') return value;
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return String(value);
}
