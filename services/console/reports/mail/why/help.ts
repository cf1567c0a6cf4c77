import { endingOf } from '../directives.ts';
import type { QueuedMail, RefusedAtDoor, WaitingCause } from './facts.ts';
import { reroutedBy } from './rerouted.ts';

/**
 * What to do so that a mail goes which waits: a clause without its full stop, whose commands can be run as they stand.
 * Undefined: it goes by itself. Pure.
 */

type Entry = QueuedMail['entry'];
type Recipient = Entry['recipients'][number];

export function waitingHelp(cause: WaitingCause, { entry }: QueuedMail, recipient: Recipient): string | undefined {
  const release = `"sealpost queue release ${entry.queueId}"`;
  switch (cause) {
    case 'held-by-operator':
    case 'held-by-filter':
    case 'held-by-rule':
    case 'held':
      return `${release} lets it go`;
    case 'held-for-tls':
      return `see that a host of the destination gets TLS, or give its domain a route to one that has it; then ${release} has it tried again`;
    case 'held-for-archive':
      return `see that the archive takes it; then ${release} has it tried again`;
    case 'dead-letter':
      return `put right what the reply says; then ${release} has it tried again; or "sealpost queue remove ${entry.queueId}" deletes it`;
    case 'suspended':
      return (
        recipient.suspended &&
        `${endingOf(recipient.suspended)} lets it go, and all other mail that was suspended with it`
      );
    case 'rate-limit':
      return 'wait for its turn; or raise the limit in rates.destinations: a change of the file is taken up immediately';
    case 'store-failing':
    case 'disk-full':
      return `free space on the disk of ${entry.node}, or put right what the text says: delivery goes on by itself`;
    case 'blocked':
      return '"sealpost cluster status" says what the node lacks: delivery goes on by itself when it has that';
    case 'first-attempt':
    case 'under-way':
    case 'next-hop-busy':
      return undefined;
    default:
      return troubleHelp(cause, entry, recipient);
  }
}

/** Of mail that was tried in vain. Who sent it elsewhere than its route says may have been wrong. */
function troubleHelp(cause: WaitingCause, entry: Entry, recipient: Recipient): string {
  const retry = `"sealpost queue retry ${entry.queueId}"`;
  const signing = signingHelp(cause, recipient);
  if (signing !== undefined) return signing;
  const mended = `${mendText(cause, entry, recipient)}; then ${retry} tries it immediately`;
  const rerouted = reroutedBy(entry, recipient).at(-1);
  switch (rerouted?.by) {
    case 'operator':
      return `"sealpost queue reroute ${entry.queueId} --via route" sends it as the routes say again; or ${mended}`;
    case 'directive':
      return `${recipient.redirected === undefined ? '' : endingOf(recipient.redirected)} ends the redirect, and ${retry} sends it by its route; or ${mended}`;
    default:
      return mended;
  }
}

/** Trouble of this cluster with signatures is over for all mail at the same time, which leaves within 30 seconds. */
function signingHelp(cause: WaitingCause, { status }: Recipient): string | undefined {
  if (cause === 'signer-silent')
    return 'start a signer, "sealpost start signer": mail goes on by itself; "sealpost status" shows what answers';
  if (cause !== 'key-missing' || status.state !== 'deferred') return undefined;
  const { text } = status.outcome.reply;
  const [, domain] = /^not signed for ([^\s:]+): /.exec(text) ?? [];
  if (domain === undefined) return undefined;
  if (text.includes('the credential-store does not answer'))
    return 'start the credential-store, "sealpost start credential-store": mail goes on by itself; "sealpost status" shows what answers';
  return `"sealpost doctor ${domain}" says what lets it be signed: mail goes on by itself then`;
}

function mendText(cause: WaitingCause, { node }: Entry, { nextHop, status }: Recipient): string {
  const host = (status.state === 'deferred' ? status.outcome.host : undefined) ?? nextHop;
  switch (cause) {
    case 'no-route':
      return 'name a route for its domain in routes of sealpost.yaml, which "sealpost config check" looks at';
    case 'no-address':
      return 'correct the host in routes of sealpost.yaml, or its records in DNS';
    case 'dns-failing':
      return `see that the name servers of dns.servers answer ${node}, and those of the domain answer at all`;
    case 'unreachable':
      return `see that ${host} runs and takes connections from ${node}`;
    case 'connection-lost':
      return `see in the log of ${host} why it ended the session`;
    case 'login-failed':
      return 'correct user and password, or oauth, of the route in sealpost.yaml';
    case 'tls-missing':
      return tlsText(host, status.state === 'deferred' ? status.outcome.reply.text : '');
    case 'deferred-by-host':
      return `wait, since it is tried again by itself, or see that ${host} takes it`;
    default:
      return `put right what the text says; the log of ${node} says more`;
  }
}

/** What asks for TLS decides who may do without it; the words are those of the router (delivery/tls-policy/wanted.ts). */
function tlsText(host: string, said: string): string {
  const mend = `have TLS mended at ${host}`;
  if (said.startsWith('DANE ')) return `${mend}, or name the domain in delivery.dane.except for a time`;
  if (said.startsWith('the MTA-STS policy '))
    return `${mend}, or name the domain in delivery.mta-sts.except for a time`;
  if (said.startsWith('this destination had TLS before')) return `${mend}, or set delivery.tls-lost to go-on`;
  if (said.includes('for this message')) return mend;
  return `${mend}, or change tls or ca of the route in sealpost.yaml`;
}

/** What a listener refused for now is sent again by its client; `node` may have to be mended first. */
export function refusalHelp({ node, refusal: { reply, step } }: RefusedAtDoor): string | undefined {
  if (reply === undefined || reply.code >= 500 || step === 'connect' || step === 'AUTH') return undefined;
  const again = 'the client sends it again by itself';
  const { enhanced = '', text } = reply;
  if (text.startsWith('Greylisted')) return `nothing: ${again}; checks.greylist.clients names hosts that need not wait`;
  if (enhanced === '4.7.1' && reply.code === 450)
    return `wait, ${again}; or raise the limit in rates: a change of the file is taken up immediately`;
  if (enhanced === '4.3.1')
    return `free space on the disk of the routers, "sealpost cluster status" says which take no mail: ${again}`;
  if (enhanced === '4.4.3') return `see that the name servers of dns.servers answer ${node}: ${again}`;
  if (enhanced.startsWith('4.3.') || text.includes('cannot be checked'))
    return `"sealpost doctor" says what keeps ${node} from it: ${again}`;
  return undefined;
}
