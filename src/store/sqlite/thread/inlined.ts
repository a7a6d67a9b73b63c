/** The database thread's program as one text, for bundles. The build writes it; sources have none. */
export const DATABASE_PROGRAM: string | null = null;
