import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/**
 * The programs of others that the tests speak with, and the Debian package of each. `run.ts` installs what is
 * missing where it can; a test asks `needs(...)` and is skipped, with the reason, where it could not.
 */
export const PEERS = {
  'nats-server': 'nats-server',
  swaks: 'swaks',
  // A library, known by its folder: swaks speaks TLS through it.
  '/usr/share/doc/libnet-ssleay-perl': 'libnet-ssleay-perl',
  'smtp-source': 'postfix',
  'smtp-sink': 'postfix',
  postconf: 'postfix',
  postgrey: 'postgrey',
  opendkim: 'opendkim',
  'opendkim-genkey': 'opendkim-tools',
  'opendkim-testmsg': 'opendkim-tools',
  miltertest: 'miltertest',
  dkimverify: 'python3-dkim',
  dkimsign: 'python3-dkim',
  arcsign: 'python3-dkim',
  // What arcsign reads Authentication-Results with.
  '/usr/lib/python3/dist-packages/authres': 'python3-authres',
  '/usr/lib/python3/dist-packages/nacl': 'python3-nacl',
  '/usr/share/perl5/Mail/DKIM.pm': 'libmail-dkim-perl',
  // A library too: the verifying sink asks DNS through it.
  '/usr/lib/python3/dist-packages/dns': 'python3-dnspython',
  // The validator that reports are held against their schema with.
  '/usr/lib/python3/dist-packages/jsonschema': 'python3-jsonschema',
  '/usr/share/perl5/Mail/DMARC.pm': 'libmail-dmarc-perl',
  // The parser of bounces that notices are held against.
  '/usr/share/perl5/Mail/DeliveryStatus/BounceParser.pm': 'libmail-deliverystatus-bounceparser-perl',
  named: 'bind9',
  nsupdate: 'bind9-dnsutils',
  unbound: 'unbound',
  ip: 'iproute2',
  haproxy: 'haproxy',
  curl: 'curl',
  openssl: 'openssl',
  age: 'age',
  'age-keygen': 'age',
  python3: 'python3',
  dovecot: 'dovecot-core',
  '/usr/lib/dovecot/lmtp': 'dovecot-lmtpd',
  '/usr/lib/dovecot/submission': 'dovecot-submissiond',
  slapd: 'slapd',
  slapadd: 'slapd',
  ldapmodify: 'ldap-utils',
  strace: 'strace',
  'systemd-analyze': 'systemd',
  rspamd: 'rspamd',
  clamd: 'clamav-daemon',
  opendmarc: 'opendmarc',
  xmllint: 'libxml2-utils',
  'dmarc-cat': 'dmarc-cat',
  pebble: 'pebble',
  prometheus: 'prometheus',
  promtool: 'prometheus',
  // The browser that goes through the pages of the console.
  chromium: 'chromium',
} as const;
export type Peer = keyof typeof PEERS;

/** Where a program is, or undefined. Daemons live in folders that a user's PATH often lacks. */
export function locate(program: string): string | undefined {
  if (isAbsolute(program)) return existsSync(program) ? program : undefined;
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

export function missingPeers(): Peer[] {
  return (Object.keys(PEERS) as Peer[]).filter((peer) => locate(peer) === undefined);
}

/** Options of a test that needs these programs: `test('…', needs('swaks'), async () => …)`. */
export function needs(...peers: Peer[]): { skip: string | false } {
  const missing = peers.filter((peer) => locate(peer) === undefined);
  if (missing.length === 0) return { skip: false };
  return { skip: `needs ${missing.map((peer) => `${peer} (package ${PEERS[peer]})`).join(', ')}` };
}
