const MAGIC = Buffer.from('SQLite format 3\0', 'latin1');

export const DATABASE_HEADER_BYTES = 100;

/** What the first bytes of a database file, or of an image of its first page in a log, say. */
export interface DatabaseHeader {
  readonly pageBytes: number;
  /** Rises with every change of the schema; a copy by `VACUUM INTO` or `.backup` has another one. */
  readonly schemaCookie: number;
  readonly userVersion: number;
  readonly applicationId: number;
}

/** null if it is not the start of an SQLite database. */
export function readDatabaseHeader(bytes: Buffer): DatabaseHeader | null {
  if (bytes.length < DATABASE_HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  const size = bytes.readUInt16BE(16);
  return {
    pageBytes: size === 1 ? 65_536 : size,
    schemaCookie: bytes.readUInt32BE(40),
    userVersion: bytes.readUInt32BE(60),
    applicationId: bytes.readUInt32BE(68),
  };
}
