import { html } from '/vendor/preact.js';
import { PageHead, Tabs } from '../kit/layout.ts';
import type { PageProps } from '../state/router.ts';
import { Audit } from './settings/audit.ts';
import { Check } from './settings/check.ts';
import { InForce } from './settings/in-force.ts';

/** Who changed what, and the configuration. */

const TABS = [
  ['/settings', 'Changes'],
  ['/settings/in-force', 'Configuration'],
  ['/settings/check', 'Try a change'],
] as const;

export default function Settings({ rest: [part = ''], query }: PageProps) {
  return html`
    <${PageHead} title="Settings">The configuration is a file on each machine, and changed there; it is read again at once.<//>
    <${Tabs} label="Settings" tabs=${TABS} current=${part === '' ? '/settings' : `/settings/${part}`} />
    ${part === '' && html`<${Audit} query=${query} />`}
    ${part === 'in-force' && html`<${InForce} />`}
    ${part === 'check' && html`<${Check} />`}
  `;
}
