import getDmarcRecord from 'mailauth/lib/dmarc/get-dmarc-record.js';
import type { Lookup } from 'mailauth/lib/tools.js';
import { SealpostError } from '#shared/errors.ts';
import type { ArcFound, Authenticity, BodyHash } from '#shared/mail/authenticity.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import { chainOf, verifyChain } from './arc.ts';
import { authorOf } from './author.ts';
import { chooseSignatures, type Signed, verifySignature } from './dkim.ts';
import type { DkimKeys } from './dkim-keys.ts';
import { checkDmarc } from './dmarc.ts';
import { Deadline, questions, whenBusy } from './questions.ts';
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

export type VerifyDeps = {
  lookup: Lookup;
  /** For DMARC policies: they do not wait for what else strangers cause. */
  policies: Lookup;
  keys: DkimKeys;
  hostname: string;
  now: Date;
};

/** Policy answers within the ten seconds that its callers wait. */
const IDENTITIES_MS = 5000;
const ALL_MS = 8000;
/** The rest takes longer than this only where it waits for DNS. */
const SOON_MS = 20;

/**
 * SPF asks for up to ten terms of ten hosts; ten signatures and a chain of fifty sets have no more keys, and DMARC no more
 * names: eight a walk, of the author and of ten signers.
 */
const MOST_QUESTIONS = { spf: 100, keys: 70, dmarc: 100 };

/**
 * What SPF, DKIM, ARC and DMARC say of a message. It fails for no message, and with `busy` where the policy of the author's
 * domain cannot be asked for because too much is asked: strangers could cause that, to have it passed over.
 */
export async function verifyMessage(mail: IncomingMail, deps: VerifyDeps): Promise<Authenticity> {
  const { hostname } = deps;
  const { fields, text } = mail.header;
  using late = new Deadline(IDENTITIES_MS);
  using end = new Deadline(ALL_MS);
  const author = authorOf(
    fields.filter(({ name }) => name === 'from'),
    text,
  );
  let busy = false;
  const watched = whenBusy(deps.policies, () => {
    busy = true;
  });
  const policies = questions(watched, MOST_QUESTIONS.dmarc, end);
  using _ = soon(() => {
    if (author.problem === undefined) getDmarcRecord(author.domain, policies, { strict: true }).catch(() => undefined);
  });
  const [spf, { signed, arc }] = await Promise.all([
    checkSpf({ ...mail, hostname }, questions(deps.lookup, MOST_QUESTIONS.spf, late)),
    verifySignatures(mail, deps, late),
  ]);
  const spfUnasked = mail.gateway === true || mail.spfExempt === true;
  const { dmarc, dkim } = await checkDmarc(author, { spf, spfUnasked, signed }, policies);
  if (busy && dmarc.result === 'temperror') throw new SealpostError('busy', 'too many DMARC policies are asked for');
  return { spf, dkim, arc, dmarc };
}

/**
 * DNS is asked for the policy, which is needed in any case, while it is asked for the rest, so that a stranger's slow servers
 * take none of its time. Where the cache has the rest, this would be to read the policy twice.
 */
function soon(ask: () => void): Disposable {
  const timer = setTimeout(ask, SOON_MS);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
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
