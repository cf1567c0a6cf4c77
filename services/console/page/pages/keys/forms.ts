import { html, useState } from '/vendor/preact.js';
import { FormDialog } from '../../kit/dialog.ts';
import { CheckField, SelectField, TextField } from '../../kit/form.ts';
import { post, put, segment } from '../../state/api.ts';
import { go } from '../../state/router.ts';

/** What is asked before a key is made, keys are rotated, or a schedule is set. */

type FormProps = { domains: readonly string[]; onClose: () => void };

const ALGORITHMS = [
  ['rsa-2048', 'RSA, 2048 bits'],
  ['rsa-4096', 'RSA, 4096 bits'],
  ['ed25519', 'Ed25519, beside an RSA key'],
] as const;

export function CreateKey({ domains, onClose, after }: FormProps & { after: () => unknown }) {
  const [domain, setDomain] = useState(domains[0] ?? '');
  const [selector, setSelector] = useState('');
  const [algorithm, setAlgorithm] = useState<string>('rsa-2048');
  const [waits, setWaits] = useState(false);
  const submit = async (): Promise<void> => {
    await post('keys', { domain, selector, algorithm, ...(waits && { activate: false }) });
    after();
  };
  return html`<${FormDialog} title="Create a key" verb="Create the key" onClose=${onClose} submit=${submit}
    done=${`${selector} of ${domain} is made. It is copied to every node, then published and proven.`}>
    <${SelectField} label="Domain" value=${domain} onValue=${setDomain} options=${domains.map((name) => [name, name])} />
    <${TextField} label="Selector" value=${selector} onValue=${setSelector} required placeholder="s2026a"
      hint="The name of the key: its record stands at SELECTOR._domainkey.DOMAIN." />
    <${SelectField} label="Algorithm" value=${algorithm} onValue=${setAlgorithm} options=${ALGORITHMS} />
    <${CheckField} label="Wait for me before it signs" value=${waits} onValue=${setWaits}
      hint="Otherwise it signs once every node and every name server has it, where the domain has no active key of its type." />
  <//>`;
}

const SIDE_BY_SIDE = [
  ['0', 'not at all'],
  ['3600000', 'for an hour'],
  ['86400000', 'for a day'],
  ['604800000', 'for a week'],
] as const;

export function RotateKeys({ domains, onClose }: FormProps) {
  const [domain, setDomain] = useState(domains[0] ?? '');
  const [selector, setSelector] = useState('');
  const [both, setBoth] = useState<string>('0');
  const submit = async (): Promise<void> => {
    const to = selector.trim() === '' ? undefined : [selector.trim()];
    await post(`rotations/${segment(domain)}`, { ...(to && { to }), sideBySide: Number(both) });
    go(`/keys/${segment(domain)}`);
  };
  return html`<${FormDialog} title="Rotate keys" verb="Begin the rotation" onClose=${onClose} submit=${submit}
    done=${`The rotation of ${domain} has begun.`}>
    <p>A new key is made for each active one, copied to every node, published, and proven. Only then all nodes switch. The old keys stay in DNS for the mail that they signed.</p>
    <${SelectField} label="Domain" value=${domain} onValue=${setDomain} options=${domains.map((name) => [name, name])} />
    <${TextField} label="Selector of the new key" value=${selector} onValue=${setSelector} hint="Empty: named by the date." />
    <${SelectField} label="Old and new keys sign side by side" value=${both} onValue=${setBoth} options=${SIDE_BY_SIDE} />
  <//>`;
}

type ScheduleProps = {
  domain: string;
  days: number | undefined;
  at: string;
  onClose: () => void;
  after: () => unknown;
};

export function SetSchedule({ domain, days, at, onClose, after }: ScheduleProps) {
  const [every, setEvery] = useState(String(days ?? 90));
  const [time, setTime] = useState(at);
  const submit = async (): Promise<void> => {
    await put(`schedules/${segment(domain)}`, { days: Number(every), at: time });
    after();
  };
  return html`<${FormDialog} title=${`Rotate the keys of ${domain} by themselves`} verb="Set the schedule" onClose=${onClose}
    submit=${submit} done=${`The keys of ${domain} are rotated every ${every} days.`}>
    <${TextField} label="Every so many days" type="number" value=${every} onValue=${setEvery} required />
    <${TextField} label="At" value=${time} onValue=${setTime} required hint="HH:MM, by the clock of the nodes" />
  <//>`;
}
