import { z } from 'zod';
import { Role } from '../contract.ts';

/** Who is signed in, and how people sign in. */

export const SessionReply = z.object({
  /** What the audit log calls them. */
  person: z.string(),
  role: Role,
  /** Of a domain administrator: all that she sees. */
  domains: z.array(z.string()).optional(),
  /** The node that answers, and its version of Sealpost. */
  node: z.string(),
  version: z.string(),
});
export type SessionReply = z.infer<typeof SessionReply>;

const text = z.string().min(1).max(1000);

export const SignIn = z.union([
  z.strictObject({ user: text, password: text }),
  z.strictObject({ token: text }),
  z.strictObject({ link: text }),
]);
export type SignIn = z.infer<typeof SignIn>;

export const SignInWays = z.object({ ways: z.array(z.enum(['password', 'token', 'link', 'openid'])) });
export type SignInWays = z.infer<typeof SignInWays>;
