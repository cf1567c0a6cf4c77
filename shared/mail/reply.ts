import { z } from 'zod';

/**
 * An SMTP reply as data: what a peer said, or what we say to one (RFC 5321 §4.2, RFC 3463).
 * `text` never holds line breaks; lines of a multi-line reply are joined by one space.
 */
export const Reply = z.object({
  code: z.number().int().min(200).max(599),
  enhanced: z
    .string()
    .regex(/^[245]\.\d{1,3}\.\d{1,3}$/)
    .optional(),
  text: z.string(),
});
export type Reply = z.infer<typeof Reply>;

/** Make a reply; `enhanced` is the RFC 3463 code such as `5.7.1`. */
export function reply(code: number, enhanced: string, text: string): Reply {
  return { code, enhanced, text };
}

/** The first digit decides (RFC 5321 §4.2): 2yz, done. */
export function isPositive(r: Reply): boolean {
  return r.code < 300;
}

/** 3yz: the peer waits for more (354, 334). */
export function isIntermediate(r: Reply): boolean {
  return r.code >= 300 && r.code < 400;
}

export function isPermanent(r: Reply): boolean {
  return r.code >= 500;
}

/** `550 5.1.1 No such user`, on one line. */
export function formatReply(r: Reply): string {
  return r.enhanced === undefined ? `${r.code} ${r.text}` : `${r.code} ${r.enhanced} ${r.text}`;
}

/** What an unexpected error turns into: always temporary (DESIGN: local trouble is never 5xx). */
export const LOCAL_ERROR: Reply = reply(451, '4.3.0', 'Local error in processing, please try again later');
