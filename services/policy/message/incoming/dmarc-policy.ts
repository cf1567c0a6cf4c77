import type { DmarcFound } from '#shared/mail/authenticity.ts';
import type { PolicyCheck, PolicyFacts } from '../../facts.ts';
import { defer, goOn, reject } from '../../verdict.ts';
import { excuseFor, type Override } from './excuse.ts';

type Disposition = DmarcFound['disposition'];
type Judgement = { disposition: Disposition; override?: Override };

/**
 * What becomes of a message that fails DMARC (DOMINO I7): as the author's domain asks, unless the administrator says
 * otherwise. Quarantine is the junk mark.
 *
 * Where DNS does not say whether it fails, a message that would be rejected waits, and one that would be junk is: strangers
 * could cause the silence. Where DNS does not say what the domain asks for, nothing is asked.
 */
export const dmarcPolicy: PolicyCheck<'message'> = (facts, accepted) => {
  const { authenticity } = facts;
  if (authenticity === undefined) return goOn();
  const { dmarc } = authenticity;
  const isUnsure = dmarc.result === 'temperror' && dmarc.policy !== undefined;
  if ((dmarc.result !== 'fail' && !isUnsure) || dmarc.from === undefined) return goOn();
  const { disposition, override } = judge(facts, dmarc);
  if (isUnsure && disposition === 'none') return goOn();
  if (isUnsure && disposition === 'reject') return unsure(dmarc.from);
  const why = [
    `DMARC: the message ${isUnsure ? 'may fail' : 'fails'}, and ${dmarc.record?.domain ?? dmarc.from} asks for ${dmarc.policy ?? 'none'}` +
      (override === undefined ? '' : `; ${disposition}, because ${override.comment ?? override.type}`),
  ];
  const found = { ...authenticity, dmarc: { ...dmarc, disposition, ...(override === undefined ? {} : { override }) } };
  if (disposition === 'reject') {
    const whose = override === undefined ? 'its DMARC policy is reject' : 'the policy for it here is reject';
    const text = `Mail from ${dmarc.from} rejected for policy reasons: it passes neither SPF nor DKIM for that domain, and ${whose}`;
    // RFC 7372 §3.3: several authentication checks failed.
    return { ...reject(550, '5.7.26', text, why), authenticity: found };
  }
  return goOn(why, { ...accepted, authenticity: found, junk: accepted.junk || disposition === 'quarantine' });
};

function unsure(from: string) {
  const text = `Whether the mail is from ${from} cannot be found out now, please try again later`;
  return defer(451, '4.4.3', text, [
    `DMARC: DNS does not say whether the message fails, and mail from ${from} is rejected`,
  ]);
}

function judge(facts: PolicyFacts['message'], { from = '', policy = 'none', record }: DmarcFound): Judgement {
  const { incoming, authenticity } = facts;
  if (!incoming.enforcesDmarc) return unless(policy, 'none', 'local_policy', 'authenticity.dmarc.enforce is off');
  const excuse = authenticity && excuseFor(authenticity, facts);
  if (excuse !== undefined) return unless(policy, 'none', excuse.type, excuse.comment);
  const local = incoming.dmarcOverride(from);
  if (local !== undefined)
    return unless(policy, local.policy, 'local_policy', `authenticity.dmarc.overrides has ${local.domain}`);
  // `policy` is one level down already (RFC 9989 §4.7).
  if (!record?.testing || published(record, from) === 'none') return { disposition: policy };
  return { disposition: policy, override: { type: 'policy_test_mode', comment: 'its policy is being tested (t=y)' } };
}

function published({ domain, p, sp }: NonNullable<DmarcFound['record']>, from: string): Disposition {
  return domain === from ? p : (sp ?? p);
}

function unless(asked: Disposition, done: Disposition, type: Override['type'], comment: string): Judgement {
  return done === asked ? { disposition: done } : { disposition: done, override: { type, comment } };
}
