import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf, localPartOf } from '#shared/address.ts';
import type { EnvelopeRecipient } from '#shared/envelope.ts';
import { canonicalAddress } from '#shared/mailbox.ts';
import type { SessionFacts } from './contract.ts';
import type { Directory } from './directory/directory.ts';
import type { RelayRules } from './relay/relay-rules.ts';
import { defer, reject } from './verdict.ts';

type Request = { facts: SessionFacts; recipient: EnvelopeRecipient };
/** `directory`: undefined where the users file could not be read; null: none is configured. */
type Deps = { rules: RelayRules; directory: Directory | undefined | null; node: Config['node'] };

/** RCPT TO: is it ours, does it exist, where does it go; if it is not ours, may this client relay (DOMINO R6)? */
export function recipient({ facts, recipient }: Request, deps: Deps) {
  const { rules, directory, node } = deps;
  const why: string[] = [];
  const address = canonicalAddress(withPostmasterDomain(recipient.address, rules.firstLocal ?? node.hostname));
  const domain = domainOf(address);
  const local = localPartOf(address);
  if (domain === '' || local === '' || local === address) {
    why.push('no mailbox with a domain');
    return reject(553, '5.1.3', 'Recipient address needs a local part and a domain', why); // RFC 3463 §3.2
  }
  // An unquoted @ in the local part is a source route (RFC 5321 appendix C), which nobody needs any more.
  if (!local.startsWith('"') && local.includes('@')) return refuseRoute(why);
  const isPostmaster = local.toLowerCase() === 'postmaster';
  // `postmaster` alone reaches somebody on every server, local domains or not (RFC 5321 §4.5.1).
  const bare = !recipient.address.includes('@');
  if (!rules.isLocal(domain) && !bare) return relay(address, { facts, recipient }, deps, why);
  why.push(`${domain} is local`);
  if (directory === undefined) {
    why.push('the users file cannot be read');
    return defer(451, '4.3.0', 'Recipient cannot be checked now, please try again later', why);
  }
  const found = directory?.resolve(address);
  if (found !== undefined) {
    // A tag is the sender's own text, and goes on to whoever stands behind us.
    if (found.kind === 'tagged' && holdsRoute(tagOf(local)) && !isTrusted(facts, rules)) return refuseRoute(why);
    why.push(found.kind === 'alias' ? `alias to ${found.addresses.length} addresses` : 'mailbox of a user');
    return accept(found.addresses, address, recipient, why);
  }
  if (isPostmaster) {
    why.push('postmaster is always accepted');
    return accept([address], address, recipient, why);
  }
  if (directory !== null) {
    why.push('neither a mailbox nor an alias of the users file');
    return reject(550, '5.1.1', 'No such user here', why);
  }
  why.push('no users file: every recipient of a local domain is accepted');
  if (holdsRoute(local) && !isTrusted(facts, rules)) return refuseRoute(why);
  return accept([address], address, recipient, why);
}

/** A recipient that is not ours. */
function relay(address: string, { facts, recipient }: Request, { rules }: Deps, why: string[]) {
  const domain = domainOf(address);
  why.push(`${domain} is not local`);
  if (!rules.mayRelay(facts, domain, why)) {
    if (facts.nameFailed && rules.nameCouldAllow(facts, domain)) {
      why.push('the name of the client could not be looked up, and relay.allow.hosts has names');
      return defer(451, '4.4.3', 'Name of your host cannot be looked up now, please try again later', why);
    }
    return reject(554, '5.7.1', 'Relay rejected for policy reasons', why);
  }
  if (holdsRoute(localPartOf(address)) && !isTrusted(facts, rules)) return refuseRoute(why);
  return accept([address], address, recipient, why);
}

function isTrusted(facts: SessionFacts, rules: RelayRules): boolean {
  return facts.user !== undefined || rules.trustedHost(facts) !== undefined;
}

/**
 * Whether some mail system behind us may read a local part as an order to send the mail on (DOMINO R8): percent
 * hack, bang path, a whole address in quotes, a path of X.400 or of files.
 */
function holdsRoute(local: string): boolean {
  return /[%!@]|^"?\//.test(local);
}

/** `+tag` of a local part that has one. */
function tagOf(local: string): string {
  return local.slice(local.indexOf('+'));
}

function refuseRoute(why: string[]) {
  why.push('the local part holds a route: relay refused');
  return reject(550, '5.7.1', 'Sender-specified routing is not accepted', why);
}

function withPostmasterDomain(address: string, domain: string): string {
  return address.toLowerCase() === 'postmaster' ? `${address}@${domain}` : address;
}

/** The recipients that RCPT stands for; DSN parameters go with each of them (RFC 3461 §5.2.7). */
function accept(addresses: readonly string[], asked: string, recipient: EnvelopeRecipient, why: string[]) {
  const recipients = addresses.map(
    (address): EnvelopeRecipient =>
      address === asked ? { ...recipient, address } : { ...recipient, address, original: recipient.original ?? asked },
  );
  return { action: 'accept' as const, recipients, why };
}
