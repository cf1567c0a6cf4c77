import { hostname, userInfo } from 'node:os';

/** For people who ask who did it. */
export function operator(): string {
  try {
    return `${userInfo().username} on ${hostname()}`;
  } catch {
    // A user without an entry in the user database.
    return `uid ${process.getuid?.() ?? '?'} on ${hostname()}`;
  }
}
