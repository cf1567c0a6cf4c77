import { type AccountLine, type Answer, toDo } from '../plan.ts';

/**
 * What Domino keeps in documents of its directory, and where it goes: a notes.ini does not have it. The names are those
 * of the fields.
 */

const CONFIGURATION = 'configuration document';
const SERVER = 'server document';

const line = (place: string, setting: string, answer: Answer): AccountLine => ({ place, setting, ...answer });

export const ELSEWHERE: readonly AccountLine[] = [
  line(
    CONFIGURATION,
    'Allow messages to be sent only to the following external internet domains',
    toDo('relay.allow.domains; an empty field allows nothing'),
  ),
  line(
    CONFIGURATION,
    'Deny messages to be sent to the following external internet domains',
    toDo(
      'relay.deny.domains. In Domino everything that a deny list alone does not name is allowed; here it would need "*" in relay.allow.domains, which is an open relay',
    ),
  ),
  line(
    CONFIGURATION,
    'Allow messages only from the following internet hosts to be sent to external internet domains',
    toDo('relay.allow.hosts: addresses without [ ], networks as 192.0.2.0/24, names, group:NAME'),
  ),
  line(
    CONFIGURATION,
    'Deny messages from the following internet hosts to be sent to external internet domains',
    toDo('relay.deny.hosts. As above, a deny list alone allows nothing here'),
  ),
  line(
    CONFIGURATION,
    'Perform Anti-Relay enforcement for these connecting hosts',
    toDo(
      'relay.scope. External hosts, the default there, is scope: external with relay.internal; here the default is all, which trusts no host for its name',
    ),
  ),
  line(CONFIGURATION, 'Exclude these connecting hosts from anti-relay checks', toDo('relay.exclude')),
  line(
    CONFIGURATION,
    'Exceptions for authenticated users',
    toDo('relay.authenticated: exempt (the default) or checked'),
  ),
  line(
    CONFIGURATION,
    'Relay host for messages leaving the local internet domain',
    toDo('routes: { to: "*", via: "smtp://<host>" }'),
  ),
  line(
    CONFIGURATION,
    'SPF: log and tag, or log and reject; hosts that are exempt',
    toDo('authenticity.spf: hard-fail: tag (the default) or reject; exempt'),
  ),
  line(
    CONFIGURATION,
    'Deliver untrusted mail to the Junk folder, and the exceptions',
    toDo(
      'mail that fails DKIM or SPF is marked as junk: authenticity.junk.except names recipients and groups that get it in the mailbox, junk-to of a route the mailbox for junk',
    ),
  ),
  line(CONFIGURATION, 'Mark external mail', toDo('authenticity.external: subject-tag, or header')),
  line(
    'global domain document',
    'Local primary and alternate internet domains',
    toDo('domains: { name: <domain>, local: true } for each'),
  ),
  line(SERVER, 'Fully qualified internet host name', toDo('node.hostname')),
  line(
    SERVER,
    'Ports: SMTP inbound, TLS and authentication',
    toDo('listeners; port 25 without TLS stands there now. Submission is kind: submission at 587 and 465'),
  ),
  line(
    SERVER,
    'TLS key file or certificate store',
    toDo('tls: { certificate: …, key: … } as PEM files, then tls: starttls on the listener'),
  ),
];
