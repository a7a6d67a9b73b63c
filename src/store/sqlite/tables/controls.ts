import type { DatabaseSync } from 'node:sqlite';
import type { Scope, ScopeControl } from '../../../model/control.ts';
import { formatScopeControl, parseScopeControl } from '../../codec/values.ts';
import { Statement } from './statement.ts';

/** What verbs have changed of queues and of the whole server. */
export class ControlsTable {
  readonly #put: Statement<never>;
  readonly #all: Statement<readonly [scope: Scope, control: string]>;

  constructor(database: DatabaseSync) {
    this.#put = new Statement(
      database,
      `INSERT INTO controls (scope, control) VALUES (?, ?)
       ON CONFLICT (scope) DO UPDATE SET control = excluded.control`,
    );
    this.#all = new Statement(database, 'SELECT scope, control FROM controls');
  }

  put(scope: Scope, control: ScopeControl): void {
    this.#put.run(scope, formatScopeControl(control));
  }

  all(): Map<Scope, ScopeControl> {
    return new Map(this.#all.all().map(([scope, control]) => [scope, parseScopeControl(scope, control)]));
  }
}
