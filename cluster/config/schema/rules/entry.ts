import { z } from 'zod';
import { domainOf, localPartOf, normalizeAddress } from '#shared/address/address.ts';
import { domain, duration, listedMailbox, TEN_YEARS_MS } from '../values.ts';

/** The entries of `rules`: what the queue does with some of the mail beside delivering it. */

const ACTIONS = ['hold', 'redirect', 'journal'] as const;

const address = (what: string) =>
  z
    .string()
    .refine((text) => localPartOf(text) !== '' && domain.safeParse(domainOf(text)).success, {
      error: (i) => `${JSON.stringify(i.input)} is not ${what}`,
    })
    .transform(normalizeAddress);

const conditions = z
  .strictObject({
    from: z
      .array(listedMailbox)
      .min(1)
      .optional()
      .describe('reverse-paths: addresses, domains with everything below them, group:NAME, or * (not the null one)'),
    to: z
      .array(listedMailbox)
      .min(1)
      .optional()
      .describe('recipients, as RCPT named them or after aliases: addresses, domains …, as in from'),
    address: z.array(listedMailbox).min(1).optional().describe('the reverse-path or a recipient is one of these'),
    user: z.array(z.string().min(1)).min(1).optional().describe('authenticated users; * is any of them'),
    direction: z
      .enum(['in', 'out', 'internal'])
      .optional()
      .describe(
        'in: from a client that is not ours, to whomever; out: from our users and hosts to domains that are not local; internal: from them to local domains',
      ),
  })
  .prefault({});

const journal = z.strictObject({
  to: address('an address').describe('address of the archive; aliases and groups are not looked up'),
  form: z
    .enum(['envelope', 'report'])
    .default('envelope')
    .describe(
      'envelope: the message as others get it; report: a journal report in the form of Exchange, with the envelope as text and the message as message/rfc822',
    ),
  failures: address('an address')
    .optional()
    .describe('reverse-path of the copies: other servers report failures there; default: the null one, to nobody'),
  expire: duration('30d', 1000, TEN_YEARS_MS).describe(
    'how long a copy is tried, whatever queue.expire says; then it is held',
  ),
});

export const ruleEntry = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is made of letters, digits, ".", "_" and "-"')
      .describe('name in the queue and in logs'),
    when: conditions.describe('mail that the rule is for: all of these hold; without any, all mail'),
    hold: z
      .literal(true, { error: 'expected true: remove the rule to hold nothing' })
      .optional()
      .describe('true: the message waits in the queue until an operator releases it'),
    redirect: z
      .union([address('an address'), domain], {
        error: (i) => `${JSON.stringify(i.input)} is neither an address nor a domain`,
      })
      .optional()
      .describe(
        'an address: it takes the place of the recipient; or a domain: the mail takes the route of that domain, and the recipient stays',
      ),
    journal: journal.optional().describe('a blind copy of the message goes to an archive'),
  })
  .superRefine((rule, context) => {
    const given = ACTIONS.filter((action) => rule[action] !== undefined);
    if (given.length === 1) return;
    const message =
      given.length === 0
        ? `does nothing: add ${ACTIONS.join(' or ')}`
        : `has ${given.join(' and ')}: a rule does one thing, make ${given.length} rules of it`;
    context.addIssue({ code: 'custom', message });
  });
export type RuleConfig = z.output<typeof ruleEntry>;

export const rulesSection = z
  .array(ruleEntry)
  .prefault([])
  .superRefine((rules, context) => {
    for (const [i, { name }] of rules.entries()) {
      const first = rules.findIndex((rule) => rule.name === name);
      if (first < i)
        context.addIssue({
          code: 'custom',
          path: [i, 'name'],
          message: `rule "${name}" stands twice (entry ${first} has it too)`,
        });
    }
  })
  .describe(
    'what the queue does with some of the mail: hold it, send it elsewhere, or send a copy of it to an archive',
  );
