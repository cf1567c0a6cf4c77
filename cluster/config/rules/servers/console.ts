import { userKey } from '#shared/directory/values.ts';
import type { Problem } from '../../problems/problem.ts';
import type { Config } from '../../schema/schema.ts';
import { duplicates, type Rule } from '../rule.ts';

/** Rules of the console. */

function names({ console: section }: Config): Problem[] {
  if (section === undefined) return [];
  const { people, tokens } = section;
  return [
    ...duplicates(
      people.map(({ user }) => userKey(user)),
      (i) => ['console', 'people', i, 'user'],
      'user',
    ),
    ...duplicates(
      tokens.map(({ name }) => name),
      (i) => ['console', 'tokens', i, 'name'],
      'token',
    ),
  ];
}

function pair({ console: section }: Config): Problem[] {
  if (section === undefined || (section.certificate === undefined) === (section.key === undefined)) return [];
  const [there, missing] =
    section.key === undefined ? (['certificate', 'key'] as const) : (['key', 'certificate'] as const);
  const message = `console.${missing} is missing: a certificate and its key are named together, or neither`;
  return [{ path: ['console', there], message }];
}

function lengths({ console: section }: Config): Problem[] {
  if (section === undefined || section.sessions.idle <= section.sessions.longest) return [];
  const message = 'no session can be idle for longer than it lasts: make it at most console.sessions.longest';
  return [{ path: ['console', 'sessions', 'idle'], message }];
}

export const CONSOLE_RULES: readonly Rule[] = [names, pair, lengths].map((check) => ({ sections: ['console'], check }));

/** Why a process that runs the service console shows nothing. */
export const NO_CONSOLE_SECTION =
  'no section console: add "console: {}" to the configuration of this process, which opens it without a restart';

/** How browsers reach the console of this node. */
export function consoleOrigin({ node, console: section }: Config): string | undefined {
  if (section === undefined) return undefined;
  return section.origin ?? new URL(`https://${node.hostname}:${section.port}`).origin;
}
