import { already, none, taken, toDo } from '../plan.ts';
import { type Handler, number, oneOf } from './values.ts';

/** Settings of notes.ini about routing, directories and traces, and what each becomes, by their names. */

const trace = (what: string): Handler =>
  number({ least: 0 }, (level) =>
    level === 0
      ? already('nothing is traced')
      : none(
          `${what} are not written down here; "sealpost queue show <id>" has every reply to a message, the log every refusal`,
        ),
  );

const DIRECTORIES = 'the users file, the cluster’s directory and directory.ldap are asked, in this order';

export const ROUTING: Record<string, Handler> = {
  RouterDSNForNULLReversePath: oneOf({
    '0': ({ draft }) => {
      draft.set('dsn.null-reverse-path', 'hold');
      return taken('mail with the null reverse-path that fails is held for an operator', 'dsn.null-reverse-path');
    },
    '1': toDo(
      'set dsn.null-reverse-path: postmaster, and dsn.postmaster to the address that gets these notices: none goes to the null reverse-path (RFC 5321 §4.5.5)',
    ),
    '2': already('mail with the null reverse-path that fails causes no notice; the log and its receipt say so'),
  }),
  RouterDisableDSNRelayReports: oneOf({
    '0': already('a sender who asked for it (NOTIFY=SUCCESS) is told that mail went to a server without DSN'),
    '1': ({ draft }) => {
      draft.set('dsn.relay-reports', false);
      return taken('nobody is told that mail went to a server without DSN', 'dsn.relay-reports');
    },
  }),
  SMTPLookupNoDircat: oneOf({
    '0': none(`there is no directory catalog here: ${DIRECTORIES}`),
    '1': already(`there is no directory catalog here: ${DIRECTORIES}`),
  }),
  RouterLanguageVisibleNDRStatus: oneOf({
    '0': already('notices are in English (dsn.language)'),
    '1': toDo(
      'set dsn.language to de, fr or ja, or dsn.languages for some domains: which language packs are installed, this file does not say',
    ),
  }),
  RouterJunkDeliverSoftfail: oneOf({
    '0': already('SPF softfail is not marked as junk; SPF fail, SPF permerror and DKIM fail are'),
    '1': ({ draft }) => {
      draft.set('authenticity.junk.soft-fail', true);
      return taken('SPF softfail is marked as junk', 'authenticity.junk.soft-fail');
    },
  }),
  RouterFallbackNonTLS: oneOf({
    '0': toDo(
      'here mail goes in clear text where TLS fails, unless its route says tls: required (or verified), which keeps it out of clear text always',
    ),
    '1': already('where TLS fails, mail goes in clear text over a new connection (tls: opportunistic of a route)'),
  }),
  SMTPDebug: trace('traces of SMTP sessions'),
  SMTPDebugIO: trace('bytes of SMTP sessions'),
  SMTPClientDebug: trace('traces of outgoing SMTP sessions'),
};

/** DEBUG_SSL_ALL, DEBUG_SSL_HANDSHAKE … */
export const TLS_TRACE: Handler = trace('traces of TLS handshakes');
