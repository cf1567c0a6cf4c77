import type { Lookup } from 'mailauth/lib/tools.js';
import type { ArcFound, Authenticity, BodyHash } from '#shared/mail/authenticity.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import { chainOf, verifyChain } from './arc.ts';
import { authorOf } from './author.ts';
import { chooseSignatures, type Signed, verifySignature } from './dkim.ts';
import type { DkimKeys } from './dkim-keys.ts';
import { checkDmarc } from './dmarc.ts';
import { Deadline, questions } from './questions.ts';
import { SignatureVerifier } from './signatures.ts';
import { checkSpf } from './spf.ts';

/** A message from outside, without its body. */
export type IncomingMail = {
  client: { address: string; helo: string };
  gateway: boolean | undefined;
  /** SPF is not asked about the client. */
  spfExempt?: boolean;
  reversePath: string;
  /** The header block as latin1 text, and its fields. */
  header: { text: string; fields: readonly HeaderField[] };
  bodyHashes: readonly BodyHash[] | undefined;
};

export type VerifyDeps = { lookup: Lookup; keys: DkimKeys; hostname: string; now: Date };

/** Policy answers within the ten seconds that its callers wait. */
const IDENTITIES_MS = 5000;
const ALL_MS = 8000;

/** Far more than real mail causes: SPF up to ten terms of ten hosts, DMARC eight names a walk. */
const MOST_QUESTIONS = { spf: 100, keys: 40, dmarc: 60 };

/** What SPF, DKIM, ARC and DMARC say of a message. It fails for no message and no answer of DNS. */
export async function verifyMessage(mail: IncomingMail, deps: VerifyDeps): Promise<Authenticity> {
  const { lookup, hostname } = deps;
  const { fields, text } = mail.header;
  using late = new Deadline(IDENTITIES_MS);
  using end = new Deadline(ALL_MS);
  const author = authorOf(
    fields.filter(({ name }) => name === 'from'),
    text,
  );
  const policies = questions(lookup, MOST_QUESTIONS.dmarc, end);
  // Its answer is needed in any case: asked for while the others are.
  if (author.problem === undefined) policies(`_dmarc.${author.domain}`, 'TXT').catch(() => undefined);
  const [spf, { signed, arc }] = await Promise.all([
    checkSpf({ ...mail, hostname }, questions(lookup, MOST_QUESTIONS.spf, late)),
    verifySignatures(mail, deps, late),
  ]);
  const { dmarc, dkim } = await checkDmarc(author, { spf, signed }, policies);
  return { spf, dkim, arc, dmarc };
}

async function verifySignatures(
  { header: { fields }, bodyHashes }: IncomingMail,
  { lookup, keys, now }: VerifyDeps,
  late: Deadline,
): Promise<{ signed: Signed[]; arc: ArcFound }> {
  const { chosen, left } = chooseSignatures(fields);
  const { chain, problem } = chainOf(fields);
  const others = left.map((found) => ({ found, unsigned: 0 }));
  const noChain: ArcFound =
    problem === undefined ? { result: 'none', sets: 0 } : { result: 'fail', sets: 0, reason: problem };
  if (chosen.length === 0 && chain.length === 0) return { signed: others, arc: noChain };
  const asked = keys.asked(questions(lookup, MOST_QUESTIONS.keys, late));
  const verifier = new SignatureVerifier({ header: fields, bodyHashes, keys: asked, now });
  await verifier.read([...chosen, ...chain]);
  const signatures = verifier.signatureHeaders.filter(({ type }) => type === 'DKIM');
  const [arc, ...signed] = await Promise.all([
    chain.length === 0 ? noChain : verifyChain(verifier),
    ...signatures.map((signature) => verifySignature(verifier, signature)),
  ]);
  return { signed: [...signed, ...others], arc };
}
