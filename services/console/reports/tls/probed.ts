import { directiveText } from '#shared/directive.ts';
import { verdictText } from '#shared/mail/tls.ts';
import type { ProbedDomain, ProbedHost, ProbedWay } from '#shared/tls/probe.ts';

/** What a look at a destination found, in sentences. */

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

export const hostName = ({ name, address, port }: ProbedHost): string => `${name}[${address}]:${port}`;

const RUNGS = ['usual', 'reduced', 'clear'] as const;

/** The host that mail goes to first: each is tried with the usual ClientHello before any is tried with another. */
export function firstUsed({ hosts }: Pick<ProbedWay, 'hosts'>): ProbedHost | undefined {
  const rank = ({ session }: ProbedHost): number =>
    session === undefined ? RUNGS.length : RUNGS.indexOf(session.rung);
  const [first] = hosts.toSorted((a, b) => rank(a) - rank(b));
  return first?.session === undefined ? undefined : first;
}

/** What becomes of mail for the domain. */
export function outcomeOf(domain: string, { node, ...way }: Omit<ProbedDomain, 'others'>): string {
  return `mail for ${domain} ${fateOf(node, way)}`;
}

/** What becomes of it where routes say something else of its senders. */
export function otherOutcomes(domain: string, { node, others = [] }: ProbedDomain): string[] {
  return others.map((way) => `mail ${sendersOf(way)} for ${domain} ${fateOf(node, way)}`);
}

type Other = NonNullable<ProbedDomain['others']>[number];

function sendersOf({ for: senders }: Other): string {
  const one = ({ from, user }: Other['for'][number]): string =>
    [
      ...(from === undefined ? [] : [`from ${from === '*' ? 'any sender' : from}`]),
      ...(user === undefined ? [] : [`of ${user === '*' ? 'users' : `user ${user}`}`]),
    ].join(' ');
  return senders.map(one).join(', ');
}

/** Whether mail leaves, or stays here as it should. */
export function isOnItsWay(way: ProbedWay): boolean {
  const leaves = way.hosts.length === 0 || firstUsed(way) !== undefined;
  return way.nextHop !== '' && way.unreachable === undefined && leaves;
}

function fateOf(node: string, way: ProbedWay): string {
  const { nextHop, redirected, hosts, unreachable } = way;
  const why = redirected === undefined ? '' : `; it is redirected ${directiveText(redirected)}`;
  if (unreachable !== undefined) {
    const fate = unreachable.state === 'failed' ? 'is returned to its sender' : 'waits';
    return `${fate}: ${unreachable.reply}${why}`;
  }
  if (nextHop === '') return 'waits: its route leads nowhere';
  if (hosts.length === 0) return `stays on ${node}, by its route (${nextHop}): no TLS is involved`;
  const first = firstUsed(way);
  if (first === undefined) return `waits: none of its hosts can be used${why}`;
  return `goes from ${node} to ${hostName(first)}, ${howItGoes(first)}${why}`;
}

function howItGoes({ session }: ProbedHost): string {
  switch (session?.protection.reached) {
    case 'verified':
      return 'in TLS with a verified certificate';
    case 'encrypted':
      return 'in TLS, whatever the certificate';
    default:
      return 'in clear text';
  }
}

/** What is found of a host: a name and a sentence for each. */
export function hostRows(host: ProbedHost): [string, string][] {
  const { handshake, session, failures } = host;
  const rows: [string, string][] = [['wanted', wantedText(host)]];
  if (handshake !== undefined) {
    rows.push(['handshake', `${handshake.protocol} with ${handshake.cipher}`]);
    for (const [n, { subject, issuer, names, from, until }] of handshake.certificates.entries()) {
      const about = n === 0 && names.length > 0 ? names.join(', ') : subject;
      rows.push([n === 0 ? 'certificate' : 'chain', `${about}, by ${issuer}, from ${day(from)} to ${day(until)}`]);
    }
  }
  if (host.certificate !== undefined) rows.push(['verdict', verdictText(host.certificate, host.name)]);
  for (const { rung, reply } of failures) rows.push(['failed', `${STEPS[rung]}: ${reply}`]);
  rows.push(['mail', session === undefined ? 'does not go to this host' : fateText(host)]);
  return rows;
}

const STEPS = {
  usual: 'at first',
  reduced: 'with a reduced ClientHello',
  clear: 'in clear text',
} as const;

/** How much is wanted, and who says so. */
function wantedText({ wanted: { tls, by, proof }, dane, sts }: ProbedHost): string {
  const what = {
    off: 'no TLS',
    opportunistic: 'TLS if the host offers it, else clear text',
    required: 'TLS, whatever the certificate',
    verified: `TLS with a certificate that ${proof === 'dane' ? 'its TLSA records name' : 'a trusted authority issued for it'}`,
  }[tls];
  const who = {
    route: 'the route says so',
    message: 'a message asks for it',
    dane: dane === 'unusable' ? 'it has TLSA records, none that can be used' : 'it has TLSA records (DANE)',
    'mta-sts': 'the MTA-STS policy of the domain is enforced',
    memory: 'the destination had TLS lately',
    default: 'nothing asks for more',
  }[by];
  const notes = [
    ...(dane === 'unknown' ? ['whether it has TLSA records cannot be found out now'] : []),
    ...(sts !== undefined && by !== 'mta-sts' ? [`an MTA-STS policy (${sts.mode}) does not decide`] : []),
    ...(sts !== undefined && !sts.matches ? ['the MTA-STS policy does not name this host'] : []),
  ];
  return `${what}: ${[who, ...notes].join('; ')}`;
}

function fateText(host: ProbedHost): string {
  const { why } = host.session?.protection ?? {};
  return `goes ${howItGoes(host)}${why === undefined ? '' : `: ${why}`}`;
}
