import { DatabaseSync } from 'node:sqlite';

/** Each row of each table of an SQLite file, whatever tables and columns there are, as text. */
export function dumpSqlite(filename: string): Record<string, readonly unknown[]> {
  using database = new DatabaseSync(filename);
  const tables = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .map(({ name }) => String(name));
  return Object.fromEntries(
    tables.map((table) => {
      const statement = database.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`);
      statement.setReadBigInts(true);
      return [table, statement.all().map((row) => plainRow(row))];
    }),
  );
}

/** Who owned a shard last is another one after a move. */
function plainRow(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { holder: _holder, epoch: _epoch, schema_cookie: _cookie, ...rest } = row;
  return Object.fromEntries(
    Object.entries(rest).map(([name, value]) => [
      name,
      typeof value === 'bigint'
        ? `${value}n`
        : value instanceof Uint8Array
          ? Buffer.from(value).toString('hex')
          : value,
    ]),
  );
}
