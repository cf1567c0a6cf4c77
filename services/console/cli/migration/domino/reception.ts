import { isIP } from 'node:net';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { always, type Handler, number, oneOf, type Target } from './values.ts';

/** Settings of notes.ini about how mail is received, and what each becomes, by their names. */

/** RFC 5321 §4.5.3.1.8. */
const LEAST_RECIPIENTS = 100;
/** With the host name and the date, below the 512 octets of RFC 5321 §4.5.3.1.5. */
const LONGEST_GREETING = 200;

const LINE_ENDS = oneOf({
  '0': none('a line ends with CRLF here, always: servers that disagree about line ends can be made to smuggle mail'),
  '1': already('a line ends with CRLF, nothing else'),
});

export const RECEPTION: Record<string, Handler> = {
  SMTPStrict821AddressSyntax: oneOf({
    '0': ({ listener }) => {
      listener['address-syntax'] = 'lenient';
      return taken('lenient', 'listeners[].address-syntax');
    },
    '1': already('MAIL and RCPT need < and > around the address'),
  }),
  SMTPGreeting: greeting,
  SMTPStrict821LineSyntax: LINE_ENDS,
  SMTPNonStandardLineTermination: oneOf({
    '0': already('a line ends with CRLF, nothing else'),
    '1': none('a line ends with CRLF here, always: servers that disagree about line ends can be made to smuggle mail'),
  }),
  SMTPNotesPort: notesPort,
  SMTP_Config_Update_Interval: number({ least: 0 }, () =>
    already('a running node reads sealpost.yaml when it changes, and users and keys as they change'),
  ),
  SMTPAllowConnectionsAnonymous: oneOf({
    '0': already('on a submission listener everybody must log in'),
    '1': toDo(
      'name the hosts that may send without a log-in in authentication.anonymous; they are in the configuration document',
    ),
  }),
  SMTPTimeoutMultiplier: number({ least: 1, most: 100 }, (times, { draft }) => {
    draft.set('limits.timeout', `${5 * times}m`);
    draft.set('delivery.timeout', { command: `${5 * times}m`, data: `${10 * times}m` });
    return taken(`the defaults times ${times}`, 'limits.timeout', 'delivery.timeout.command', 'delivery.timeout.data');
  }),
  SMTPVerifySendersDomainTimeout: number({ least: 1, most: 3600 }, (seconds, { draft }) => {
    const timeout = Math.min(8, seconds);
    draft.set('checks.sender-domain', { enabled: true, timeout: `${timeout}s` });
    const most = seconds > timeout ? ', the most there is' : '';
    return taken(`sender domains are looked up, for ${timeout}s at most${most}`, 'checks.sender-domain');
  }),
  SMTPErrorLimit: number({ least: 0 }, (count, { draft }) => {
    if (count === 0)
      return none('there is always a limit here, so that nobody can guess without end: the default is 20');
    draft.set('limits.errors', count);
    return taken(`${count}`, 'limits.errors');
  }),
  SMTPMaxCommandLength: number({ least: 1 }, (bytes, { draft }) => {
    const length = Math.max(512, bytes);
    draft.set('limits.command-length', length);
    return taken(length > bytes ? `512, the least (RFC 5321 §4.5.3.1.4)` : `${bytes}`, 'limits.command-length');
  }),
  SMTPMaxForRecipients: number({ least: 0 }, (count, { draft }) => {
    if (count > 0)
      return already('Received names the recipient of a message that has one; RFC 5321 §4.4 has room for no more');
    draft.set('limits.for-recipients', 0);
    return taken('0', 'limits.for-recipients');
  }),
  SMTPMaxSessions: number({ least: 1 }, (count, { draft }) => {
    draft.set('limits.sessions', count);
    return taken(`${count} for each process`, 'limits.sessions');
  }),
  SMTPVerifyAuthenticatedSender: oneOf({
    '0': toDo(
      'users here may only send as one of their addresses; one who may send as everybody gets addresses: ["*"] (sealpost users add <name> --address "*")',
    ),
    '1': already('users may only send as one of their addresses, and From is checked where there is a Sender too'),
  }),
  SMTPNoVersionInRcvdHdr: oneOf({
    '0': none('no Received field tells product and version here'),
    '1': already('no Received field tells product and version'),
  }),
  SMTPMaxRecipientCount: number({ least: 0 }, (count, { draft }) => {
    if (count === 0) return none('there is always a limit here: the default is 1000');
    const most = Math.max(LEAST_RECIPIENTS, count);
    draft.set('limits.recipients', most);
    const why = most > count ? `${most}, the least (RFC 5321 §4.5.3.1.8)` : `${count}`;
    return taken(`${why}; the reply beyond it is 452, so that clients send the rest later`, 'limits.recipients');
  }),
  SMTPRelayHostsandDomain: oneOf({
    '0': ({ draft }) => {
      draft.set('relay.precedence', 'allow');
      return taken('allow: an entry of an allow list wins over one of a deny list', 'relay.precedence');
    },
    '1': already('an entry of a deny list wins over one of an allow list (relay.precedence: deny)'),
  }),
  SMTP_RIGHT_DOT_NEVER_NOTESDOMAIN: always(
    none('no address here is a name in a Notes domain: the part after the last @ is a domain in DNS'),
  ),
};

/** The host name stands in front of it here; `%s` is the date in both. */
function greeting(value: string, { listener }: Target): Answer {
  const text = value
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^ESMTP( |$)/i, '');
  if (!/^[\x20-\x7e]*$/.test(text)) {
    return problem('has more than printable ASCII, which clients need not understand: not taken');
  }
  if (text.length > LONGEST_GREETING) return problem('is longer than the line of a greeting may be: not taken');
  listener.greeting = text;
  return taken(`"${text}" after the host name and ESMTP`, 'listeners[].greeting');
}

/** The port has its address in a setting of its own: `SMTPport_TcpIpAddress=0,192.0.2.1:25`. */
function notesPort(value: string, { listener, ini }: Target): Answer {
  const own = ini.settings.get(`${value.toLowerCase()}_tcpipaddress`)?.value ?? '';
  const [, six, four] = /,\s*(?:\[([^\]]+)\]|([\d.]+))(?::\d+)?\s*$/.exec(own) ?? [];
  const address = six ?? four ?? '';
  if (isIP(address) === 0 || address === '0.0.0.0') {
    return toDo(`set the address of port ${value} as listeners[].address; without one, the listener has every address`);
  }
  listener.address = address;
  return taken(`${address}, as ${value}_TcpIpAddress says`, 'listeners[].address');
}
