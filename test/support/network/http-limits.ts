/** What a server of `src/net/http` must be given, for tests that are not about it. */
export const HTTP_LIMITS = { connectionsMax: 1_000, idleConnectionMs: 125_000 };
