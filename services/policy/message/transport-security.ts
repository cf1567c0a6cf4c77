import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import type { SessionFacts } from '../contract.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { goOn } from '../verdict.ts';
import { headerSoFar, tooLargeForBus } from './header.ts';

const NAME = 'Sealpost-Transport-Security';

/**
 * `tls-header` of a domain (DOMINO T5): a field that tells its recipients how the message came to this server, and no
 * more, because nobody can know the ways before. Fields of that name that are there already are removed, whoever sent them.
 */
export const transportSecurity: PolicyCheck<'message'> = (facts, accepted) => {
  if (!isFor(facts)) return goOn();
  const marked = { ...accepted, prepend: [...accepted.prepend, transportField(facts.session)] };
  const name = NAME.toLowerCase();
  if (!facts.fields.has(name)) return goOn(['told its recipients how it came'], marked);
  const { fields, rest } = headerSoFar(facts, accepted);
  const kept = fields.filter((field) => field.name !== name);
  const header = kept.map(({ raw }) => raw).join('') + rest;
  const why = [`${NAME} of others removed: ${fields.length - kept.length}`];
  return tooLargeForBus(header, facts) ?? goOn(why, { ...marked, header });
};

/** Whether a recipient is in a domain that wants it. */
function isFor({ incoming: { tlsHeader }, recipients, rewriting, rules }: PolicyFacts['message']): boolean {
  if (tlsHeader.size === 0) return false;
  return recipients.some((address) => {
    const domain = address.includes('@')
      ? domainOf(rewriting.inLocalDomain(canonicalAddress(address)))
      : (rules.firstLocal ?? '');
    return tlsHeader.has(domain);
  });
}

/** The field with its CRLF. Everything that the client chose is reduced to characters that cannot end a value. */
export function transportField({ tls, client, user }: Pick<SessionFacts, 'tls' | 'client' | 'user'>): string {
  const certificate = tls?.certificate;
  const level = tls === undefined ? 'clear' : certificate?.verified ? 'verified' : 'encrypted';
  const values: [name: string, value: string | null | undefined][] = [
    ['version', tls?.protocol],
    ['cipher', tls?.suite ?? tls?.cipher],
    ['certificate', certificate?.verified ? (certificate.names?.[0] ?? certificate.subject) : undefined],
    ['from', client.name],
    ['address', client.address],
    ['authenticated', user === undefined ? undefined : 'yes'],
  ];
  const said = values.flatMap(([name, value]) => (value ? [`;\r\n\t${name}=${word(value)}`] : []));
  return `${NAME}: ${level}${said.join('')}\r\n\t(the last hop only)\r\n`;
}

function word(text: string): string {
  return text.replace(/[^A-Za-z0-9._:*-]/g, '_').slice(0, 255);
}
