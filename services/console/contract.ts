import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';

/** The console is the web page for administrators, and its HTTPS API. */

/** `viewer`: sees, and changes nothing. `operator`: sees and changes. Either may be bound to domains. */
export const Role = z.enum(['viewer', 'operator']);
export type Role = z.infer<typeof Role>;

export const MOST_DOMAINS = 100;
const Domains = z.array(z.string().max(253)).min(1).max(MOST_DOMAINS);

const Link = z.object({
  role: Role,
  /** What the session sees is that of these domains; absent: of all. */
  domains: Domains.optional(),
  /** Who asks for it: what the audit log calls the person of the session. */
  person: z.string().min(1).max(200),
});
type Link = z.infer<typeof Link>;

export const consoleContract = defineContract('console', 1, {
  operations: {
    'status-show': {
      repeatable: true,
      request: z.object({}),
      reply: z.object({
        node: z.string(),
        /** Where people find it. */
        origin: z.string(),
        address: z.string(),
        port: z.number().int(),
        /** SHA-256 of its certificate, and when that ends in ms since 1970. */
        fingerprint: z.string(),
        until: z.number(),
        /** Of people who are signed in. */
        sessions: z.number().int(),
      }),
    },
    /** A link that signs one browser in, once, within `validMs`. The session is of this instance alone. */
    'link-create': {
      request: Link,
      reply: z.object({ url: z.string(), validMs: z.number().int() }),
      audited: ({ role, domains, person }: Link) =>
        `${role}${domains === undefined ? '' : ` of ${domains.join(', ')}`} for ${person}`,
    },
  },
});
export type ConsoleContract = typeof consoleContract;
