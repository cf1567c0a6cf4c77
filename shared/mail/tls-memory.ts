import { z } from 'zod';

/** What routers remember of the TLS of others, in the form that lies on disk and crosses the bus. */

/** A domain or a host, in lower case and A-labels; an address literal. */
export const TlsName = z.string().regex(/^[!-~]{1,255}$/);

/** ms since 1970: when it was learned. Of two records on the same thing the later one counts. */
const about = { name: TlsName, at: z.number().nonnegative() };

/** Without what is remembered (`reached`, `reducedHello`, `policy`): an operator had it forgotten at that time. */
export const TlsRecord = z.discriminatedUnion('kind', [
  /** What was reached at the mail exchangers of a recipient domain. */
  z.object({ kind: z.literal('domain'), ...about, reached: z.enum(['encrypted', 'verified']).optional() }),
  /** A mail exchanger took a reduced ClientHello after it had refused the usual one. */
  z.object({ kind: z.literal('host'), ...about, reducedHello: z.literal(true).optional() }),
  /** The MTA-STS policy of a domain, fetched at that time. */
  z.object({
    kind: z.literal('policy'),
    ...about,
    policy: z
      .object({
        /** `id` of the record that it was fetched for. */
        id: z.string(),
        /** When mail was last sent by it, to a day or so. */
        used: z.number(),
        /** Lines of the file. */
        lines: z.array(z.string()),
      })
      .optional(),
  }),
]);
export type TlsRecord = z.infer<typeof TlsRecord>;
export type TlsRecordKind = TlsRecord['kind'];

export function isForgotten(record: TlsRecord): boolean {
  if (record.kind === 'domain') return record.reached === undefined;
  return (record.kind === 'host' ? record.reducedHello : record.policy) === undefined;
}
