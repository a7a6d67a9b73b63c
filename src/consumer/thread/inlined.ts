/** The transport thread's program as one text, for bundles. The build writes it; sources have none. */
export const TRANSPORT_PROGRAM: string | null = null;
