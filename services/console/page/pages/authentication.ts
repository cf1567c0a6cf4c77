import { html } from '/vendor/preact.js';
import { PageHead, Tabs } from '../kit/layout.ts';
import type { PageProps } from '../state/router.ts';
import { DmarcReports } from './authentication/dmarc.ts';
import { Results } from './authentication/results.ts';

/**
 * Whether mail is from whom it claims to be: what others report of mail in our name at /authentication, what we found out about
 * the mail that we got at /authentication/results.
 */

const TABS = [
  ['/authentication', 'Reports received'],
  ['/authentication/results', 'Mail received'],
] as const;

export default function Authentication({ rest: [part = ''], query }: PageProps) {
  const isOfMail = part === 'results';
  return html`
    <${PageHead} title="Authentication">
      ${
        isOfMail
          ? 'Whether SPF, DKIM and DMARC stand for the mail that was accepted here.'
          : 'What others report of mail that claims to be from our domains: whether SPF and DKIM stand for it.'
      }
    <//>
    <${Tabs} label="Authentication" tabs=${TABS} current=${isOfMail ? '/authentication/results' : '/authentication'} />
    ${isOfMail ? html`<${Results} query=${query} />` : html`<${DmarcReports} query=${query} />`}
  `;
}
