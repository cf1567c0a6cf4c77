import { printable } from '#shared/text.ts';
import { formatSize } from '#shared/units.ts';
import type { SessionFacts } from './contract.ts';
import type { Directory } from './directory/directory.ts';
import { defer, reject } from './verdict.ts';

type Request = { facts: SessionFacts; reversePath: string; size?: number | undefined };
/** `directory`: undefined where the users file could not be read; null: none is configured. */
type Deps = { directory: Directory | undefined | null; largest: number };

/** MAIL FROM: its declared size, that submission is authenticated, and that a user sends as himself (DOMINO A4). */
export function sender({ facts, reversePath, size }: Request, { directory, largest }: Deps) {
  const why: string[] = [];
  if (size !== undefined && size > largest) {
    why.push(`declared size ${size} is above limits.message-size (${largest})`);
    // RFC 1870 §6.1
    return reject(552, '5.3.4', `Message size exceeds the limit of ${formatSize(largest)}`, why);
  }
  if (facts.user === undefined) {
    if (facts.kind === 'submission') {
      why.push('a submission listener takes mail from authenticated users only');
      return reject(530, '5.7.0', 'Authentication required', why); // RFC 6409 §4.3
    }
    why.push('not authenticated: any sender');
    return { action: 'accept' as const, why };
  }
  if (reversePath === '') {
    why.push('null reverse-path: notifications have no sender (RFC 5321 §4.5.5)');
    return { action: 'accept' as const, why };
  }
  if (directory === undefined) {
    why.push('the users file cannot be read');
    return defer(451, '4.3.0', 'Sender cannot be checked now, please try again later', why);
  }
  if (directory?.permits(facts.user, reversePath)) {
    why.push(`${printable(reversePath)} is an address of user ${facts.user}`);
    return { action: 'accept' as const, why };
  }
  const text = notPermitted(reversePath, facts.user, directory);
  why.push(text);
  return reject(553, '5.7.1', text, why);
}

/**
 * The sentence of a refusal: the address that was claimed and those of the user. Cut so that the reply line stays
 * within 512 octets (RFC 5321 §4.5.3.1.5).
 */
export function notPermitted(address: string, user: string, directory: Directory | null): string {
  const own = directory?.user(user)?.addresses ?? [];
  const more = own.length > 3 ? ` and ${own.length - 3} more` : '';
  const shown = own.length === 0 ? 'none' : `${printable(own.slice(0, 3).join(', '), 160)}${more}`;
  return `Sender address ${printable(address, 160)} is not permitted for user ${printable(user, 64)}, whose addresses are: ${shown}`;
}
