import { hostname, userInfo } from 'node:os';

/** Who runs this process, and where: `user@host`. */
export function userAtHost(): string {
  return `${userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container, a user need not have a name.
    return 'unknown';
  }
}
