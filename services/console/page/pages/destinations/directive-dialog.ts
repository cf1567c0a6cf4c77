import type { DirectiveReply, DirectiveRequest } from '#services/console/schemas/queue.ts';
import { html, useState } from '/vendor/preact.js';
import { FormDialog } from '../../kit/dialog.ts';
import { Choice, SelectField, TextField } from '../../kit/form.ts';
import { post } from '../../state/api.ts';
import { tellLacking } from './directives.ts';

/** Suspend or redirect mail, on all nodes, for a time. `domain`: that of the page where it was asked for. */

type Kind = DirectiveRequest['kind'];
type About = DirectiveRequest['about'];
type Props = { domain?: string; kind?: Kind; onClose: () => void; after: () => unknown };

const HOUR = 3_600_000;
const TIMES = [
  [String(HOUR / 2), '30 minutes'],
  [String(2 * HOUR), '2 hours'],
  [String(12 * HOUR), '12 hours'],
  [String(24 * HOUR), '1 day'],
  [String(72 * HOUR), '3 days'],
  [String(14 * 24 * HOUR), '14 days'],
  [String(90 * 24 * HOUR), '90 days'],
] as const;

export function DirectiveDialog({ domain = '', kind: first = 'suspend', onClose, after }: Props) {
  const [kind, setKind] = useState<Kind>(first);
  const [about, setAbout] = useState<About>('domain');
  const [name, setName] = useState(domain);
  const [via, setVia] = useState('');
  const [time, setTime] = useState<string>(String(2 * HOUR));
  const [reason, setReason] = useState('');
  const isSuspend = kind === 'suspend';
  const submit = async (): Promise<void> => {
    const request: DirectiveRequest = {
      ...{ kind, about: isSuspend ? about : 'domain', name: name.trim(), forMs: Number(time) },
      ...(reason.trim() !== '' && { reason: reason.trim() }),
      ...(!isSuspend && { via: via.trim() }),
    };
    tellLacking(await post<DirectiveReply>('directives', request));
    after();
  };
  return html`<${FormDialog} title=${isSuspend ? 'Suspend mail' : 'Redirect mail'} verb=${isSuspend ? 'Suspend' : 'Redirect'} onClose=${onClose} submit=${submit}
    done=${`Mail ${isSuspend ? `is suspended: ${name.trim()}` : `to ${name.trim()} goes to ${via.trim()}`}.`}>
    <${Choice} label="What to do" value=${kind} onValue=${setKind} options=${[
      ['suspend', 'Suspend'],
      ['redirect', 'Redirect'],
    ]} />
    <p class="soft">${
      isSuspend
        ? 'Mail is accepted, and waits on all nodes until the time is over or somebody resumes it. Nothing is returned for it.'
        : 'Mail to the domain, and to those below it, goes to another host until the time is over. What waits goes there at its next attempt.'
    }</p>
    ${
      isSuspend &&
      html`<${SelectField} label="Which mail" value=${about} onValue=${setAbout} options=${[
        ['domain', 'to a domain, and those below it'],
        ['sender', 'from a sender: an address or a domain'],
        ['destination', 'on its way to a next hop'],
      ]} />`
    }
    <${TextField} label=${NAMES[isSuspend ? about : 'domain']} value=${name} onValue=${setName} required />
    ${!isSuspend && html`<${TextField} label="Next hop" value=${via} onValue=${setVia} required hint="smtp://host, smtps://host or lmtp://host, each with or without :port, or mx" />`}
    <${SelectField} label="For" value=${time} onValue=${setTime} options=${TIMES} />
    <${TextField} label="Reason" value=${reason} onValue=${setReason} hint="Optional, for those who look." />
  <//>`;
}

const NAMES: Record<About, string> = {
  domain: 'Domain',
  sender: 'Sender',
  destination: 'Next hop, as messages name it',
};
