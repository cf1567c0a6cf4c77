import { message } from './why-site.ts';

/** What may keep a mail from arriving, and what is said of it. */

/** Situations of mail that the first node accepted: where it goes, and what is said of it. */
type Sent = { to: string; from?: string; subject?: string; rcpt?: string; cause: string; sentence: RegExp };

export const SENT: Record<string, Sent> = {
  'deferred after 4xx': {
    to: 'later@good.test',
    cause: 'deferred-by-host',
    sentence:
      /waits in the queue of edge-[123]: 127\.0\.0\.1\S+ deferred it \(attempt 1, at .*\) with "451 4\.7\.1 Greylisted, come again"; the next attempt is in \d/,
  },
  bounced: {
    to: 'bounce@good.test',
    cause: 'returned',
    sentence:
      /refused for good at .* by 127\.0\.0\.1\S+, with "550 5\.1\.1 no such user"; a notice went to <a@example\.com> \(\w{16}\)\.$/,
  },
  'bounced with NOTIFY=NEVER': {
    to: 'bounce@good.test',
    rcpt: ' NOTIFY=NEVER',
    cause: 'failed',
    sentence: /no such user"; no notice was sent to its sender\.$/,
  },
  'a connection that breaks off': {
    to: 'x@bad.test',
    cause: 'connection-lost',
    sentence: /: the connection to 127\.0\.0\.1\S+ broke off \(attempt 1/,
  },
  'an attempt under way': {
    to: 'hang@bad.test',
    cause: 'under-way',
    sentence: /: an attempt at smtp:\S+ is under way\.$/,
  },
  'connection refused': {
    to: 'x@refused.test',
    cause: 'unreachable',
    sentence: /: its destination cannot be reached \(attempt 1.*ECONNREFUSED.*; the next attempt is in/,
  },
  'TLS required but absent': {
    to: 'x@tls.test',
    cause: 'tls-missing',
    sentence: /: 127\.0\.0\.1\S+ does not offer the TLS that is wanted \(attempt 1/,
  },
  'no log-in at the next hop': {
    to: 'x@login.test',
    cause: 'login-failed',
    sentence: /: the log-in of the route failed at 127\.0\.0\.1/,
  },
  'DNS SERVFAIL': {
    to: 'x@broken.test',
    cause: 'dns-failing',
    sentence: /: DNS does not answer for its destination: "DNS gave no answer for broken\.test/,
  },
  'a domain that is not in DNS': {
    to: 'x@none.far.test',
    cause: 'returned',
    sentence: /with "550 5\.1\.2 .*none\.far\.test/,
  },
  'a null MX': { to: 'x@null.far.test', cause: 'returned', sentence: /with "55\d 5\.1\.10 / },
  'a host of the route that has no address': {
    to: 'x@nohost.test',
    cause: 'no-address',
    sentence: /: there is no address to send it to, or from: "host nohost\.far\.test of the route/,
  },
  captured: {
    to: 'x@capture.test',
    cause: 'delivered',
    sentence: /was delivered by edge-[123] at .* to capture, which said "250/,
  },
  delivered: {
    to: 'x@good.test',
    subject: 'delivered',
    cause: 'delivered',
    sentence: /was delivered by edge-[123] at .* to 127\.0\.0\.1\S+, which said "250 /,
  },
  'a mail filter': {
    to: 'x@good.test',
    subject: 'quarantine',
    cause: 'held-by-filter',
    sentence: /: a mail filter held it since .* \(odd: quarantine: odd\)\.$/,
  },
  'a dead letter': {
    to: 'bounce@good.test',
    from: '',
    cause: 'dead-letter',
    sentence: /: delivery failed, and it is held since .*, because it has the null reverse-path/,
  },
  'a key that is missing': {
    to: 'x@good.test',
    from: 'a@enforce.example',
    cause: 'key-missing',
    sentence:
      /: it cannot be signed, and its domain sends nothing without a signature: "not signed for enforce\.example/,
  },
};

/** Situations at the door: the address of the client, what it says, and what is said of it. */
type Refused = { client: string; say: string[]; ask: string; cause?: string; sentence: RegExp };

export const mail = (from: string, to = 'bob@example.com', helo = 'mail.far.test', size = ''): string[] => [
  `EHLO ${helo}`,
  `MAIL FROM:<${from}>${size}`,
  `RCPT TO:<${to}>`,
];
const data = (from: string, text: string): string[] => [...mail(from), 'DATA', text];

export const REFUSED: Record<string, Refused> = {
  'an unknown user': {
    client: '127.0.0.8',
    say: mail('unknown@far.test', 'nobody@example.com'),
    ask: 'nobody@example.com',
    sentence:
      /^edge-1 refused the mail from <unknown@far\.test> for <nobody@example\.com> of the client 127\.0\.0\.8 \(mail\.far\.test\) at RCPT, at .*, with "550 5\.1\.1 No such user here"/,
  },
  relaying: {
    client: '127.0.0.8',
    say: mail('relay@far.test', 'x@elsewhere.test'),
    ask: 'x@elsewhere.test',
    sentence: /at RCPT, .* with "554 5\.7\.1 Relay rejected for policy reasons"/,
  },
  'a DNS list': {
    client: '127.0.0.2',
    say: mail('listed@far.test'),
    ask: '127.0.0.2',
    sentence: /with "554 5\.7\.1 Client host .* listed by block\.test/,
  },
  'a greylist': {
    client: '127.0.0.3',
    say: mail('grey@far.test'),
    ask: 'grey@far.test',
    cause: 'refused-for-now',
    sentence: /for now at RCPT, .* with "451 4\.7\.1 Greylisted/,
  },
  'a sender domain that does not exist': {
    client: '127.0.0.4',
    say: mail('a@none.far.test'),
    ask: 'a@none.far.test',
    sentence: /the mail from <a@none\.far\.test> of the client .* at MAIL, .* with "550 5\.1\.8 /,
  },
  'a sender domain with broken DNS': {
    client: '127.0.0.4',
    say: mail('a@broken.test'),
    ask: 'a@broken.test',
    cause: 'refused-for-now',
    sentence: /for now at MAIL, .* with "451 4\.4\.3 Sender domain broken\.test cannot be looked up/,
  },
  'the name in EHLO': {
    client: '127.0.0.5',
    say: mail('helo@far.test', undefined, '127.0.0.5'),
    ask: 'helo@far.test',
    sentence: /of the client 127\.0\.0\.5 \(127\.0\.0\.5\) at MAIL, .* with "550 5\.7\.1 /,
  },
  'a size that is declared': {
    client: '127.0.0.8',
    say: mail('declared@far.test', undefined, undefined, ' SIZE=9000000'),
    ask: 'declared@far.test',
    sentence: /at MAIL, .* with "552 5\.3\.4 /,
  },
  'a size': {
    client: '127.0.0.8',
    say: data(
      'large@far.test',
      `${message('large@far.test', 'large')}\r\n${'x'.repeat(70).concat('\r\n').repeat(1000)}.`,
    ),
    ask: 'large@far.test',
    sentence: /for <bob@example\.com> of the client .* at its end, .* with "552 5\.3\.4 /,
  },
  'a bare LF': {
    client: '127.0.0.8',
    say: data('lf@far.test', `${message('lf@far.test', 'lf')}\nodd\r\n.`),
    ask: 'lf@far.test',
    sentence: /at its end, .* with "550 5\.6\.11 /,
  },
  'a loop': {
    client: '127.0.0.8',
    say: data(
      'loop@far.test',
      `${'Received: from a by b; Sun, 22 Nov 2026 12:00:00 +0000\r\n'.repeat(120)}${message('loop@far.test', 'loop')}\r\n.`,
    ),
    ask: '<loop@client.test>',
    sentence: /at its end, .* with "554 5\.4\.6 Routing loop/,
  },
  'a filter': {
    client: '127.0.0.8',
    say: data('filtered@far.test', `${message('filtered@far.test', 'reject')}\r\n.`),
    ask: '<reject@client.test>',
    sentence: /at its end, .* with "550 .*\(odd: /,
  },
  'a filter that throws mail away': {
    client: '127.0.0.8',
    say: data('thrown@far.test', `${message('thrown@far.test', 'discard')}\r\n.`),
    ask: 'thrown@far.test',
    cause: 'discarded',
    sentence: /^A mail filter of edge-1 threw away the mail from <thrown@far\.test> for <bob@example\.com>/,
  },
  'a syntax error': {
    client: '127.0.0.8',
    say: mail('syntax@far.test', 'no address'),
    ask: 'syntax@far.test',
    sentence: /at RCPT, .* with "5\d\d /,
  },
  HTTP: {
    client: '127.0.0.10',
    say: ['GET / HTTP/1.1'],
    ask: '127.0.0.10',
    cause: 'refused-for-now',
    sentence:
      /^edge-1 refused a command of the client 127\.0\.0\.10 \S* ?for now \(none of SMTP\), .* with "421 4\.7\.0 This is SMTP, not HTTP"/,
  },
};
