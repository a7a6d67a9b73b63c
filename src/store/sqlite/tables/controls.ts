import type { DatabaseSync } from 'node:sqlite';
import { isUntouched, type Scope, type ScopeControl } from '../../../model/control.ts';
import { formatScopeControl, parseScopeControl } from '../../codec/values.ts';
import { Statement } from './statement.ts';

/** What verbs have changed of queues and of the whole server. */
export class ControlsTable {
  readonly #put: Statement<never>;
  readonly #forget: Statement<never>;
  readonly #all: Statement<readonly [scope: Scope, control: string]>;

  constructor(database: DatabaseSync) {
    this.#put = new Statement(
      database,
      `INSERT INTO controls (scope, control) VALUES (?, ?)
       ON CONFLICT (scope) DO UPDATE SET control = excluded.control`,
    );
    this.#forget = new Statement(database, 'DELETE FROM controls WHERE scope = ?');
    this.#all = new Statement(database, 'SELECT scope, control FROM controls');
  }

  put(scope: Scope, control: ScopeControl): void {
    if (isUntouched(control)) this.#forget.run(scope);
    else this.#put.run(scope, formatScopeControl(control));
  }

  all(): Map<Scope, ScopeControl> {
    return new Map(this.#all.all().map(([scope, control]) => [scope, parseScopeControl(scope, control)]));
  }
}
