import type { CertificatesReply } from '#services/console/schemas/tls.ts';
import { html } from '/vendor/preact.js';
import { Badge, Note, type Tone } from '../../kit/badge.ts';
import { ActionButton } from '../../kit/dialog.ts';
import { listText } from '../../kit/format.ts';
import { Card, Empty, Facts, Prose, shown } from '../../kit/layout.ts';
import { Moment, Time } from '../../kit/time.ts';
import { post, segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { mayChangeAll, useSession } from '../../state/session.ts';

/** Every certificate of the cluster, what is wrong, and what clients are shown. */

type Certificate = CertificatesReply['certificates'][number];

const AGAIN_MS = 10_000;
const SOON_MS = 14 * 86_400_000;

export function Certificates() {
  const loaded = useData<CertificatesReply>('tls/certificates', {}, AGAIN_MS);
  return shown(loaded, (reply) => html`<${All} reply=${reply} after=${loaded.reload} />`);
}

const TONES = { error: 'bad', warning: 'warn', note: 'info' } as const;

function All({ reply, after }: { reply: CertificatesReply; after: () => unknown }) {
  const { node, behind, findings, certificates, presented } = reply;
  return html`
    ${behind && html`<${Note} tone="warn" title=${`${node} may not know the newest: ${behind}.`} />`}
    ${
      findings.length > 0 &&
      html`<ul class="stack notes">
        ${findings.map(
          ({ check, severity, about, text, help }) => html`<li key=${`${check} ${about}`}>
            <${Note} tone=${TONES[severity]} title=${html`${sentence(about)}: <${Prose} text=${text} />.`}><${Prose} text=${`${sentence(help)}.`} /><//>
          </li>`,
        )}
      </ul>`
    }
    ${
      certificates.length === 0 &&
      html`<${Empty} title="The cluster has no certificates of its own">
        Listeners use the files that <code>tls</code> of the configuration names. <code>sealpost certificates import</code> takes one in for all nodes, and the section <code>certificates</code> has them ordered.
      <//>`
    }
    <div class="columns">
      ${certificates.map((one) => html`<${One} key=${one.name} one=${one} after=${after} />`)}
    </div>
    ${presented.length > 0 && html`<${Card} title="What clients are shown"><${PresentedTable} presented=${presented} /><//>`}
  `;
}

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const STATES: Record<Certificate['state'], readonly [Tone, string]> = {
  valid: ['good', 'valid'],
  expiring: ['warn', 'expires soon'],
  expired: ['bad', 'expired'],
  failed: ['bad', 'could not be ordered'],
  missing: ['wait', 'there is none yet'],
  deleted: ['idle', 'deleted'],
};

function One({ one, after }: { one: Certificate; after: () => unknown }) {
  const { name, current, renewal, state, usedAt, next } = one;
  const [tone, word] = STATES[state];
  const mayOrder = mayChangeAll(useSession()) && renewal !== undefined && state !== 'deleted';
  const order =
    mayOrder &&
    html`<${ActionButton} label="Order now" run=${() => post(`tls/certificates/${segment(name)}/order`)} done=${`${name} is ordered.`} after=${after} confirm=${{
      title: `Order ${name} now?`,
      text: 'The authority is asked for a new certificate, although it may not be due. Authorities limit how many they issue. The one in use stays until the new one is there.',
      verb: 'Order the certificate',
    }} />`;
  return html`<${Card} title=${name} actions=${order}>
    <${Facts} rows=${[
      ['State', html`<${Badge} tone=${tone}>${word}<//>`],
      ['For', current && html`<span class="break">${current.names.join(', ')}</span>`],
      ['Expires', current && html`<${Moment} at=${current.until} /> (<${Time} at=${current.until} />)`],
      ['Presented by', current && (usedAt.length === 0 ? 'no listener that answers' : listText(usedAt))],
      ['Next', next === '-' ? undefined : sentence(next)],
      [
        'Problem',
        renewal?.problem &&
          html`<span class="break">${renewal.problem.text}</span>, since <${Time} at=${renewal.problem.since} />`,
      ],
      ['Issuer', current && html`<span class="break">${current.issuer}</span>`],
      ['Key', current?.key],
      ['Came by', current && `${current.origin === 'acme' ? 'an order' : 'import'} on ${current.node}`],
      ['SHA-256', current && html`<code class="break">${current.fingerprint}</code>`],
    ]} />
  <//>`;
}

function PresentedTable({ presented }: Pick<CertificatesReply, 'presented'>) {
  const now = Date.now();
  const toneOf = (until: number): Tone => (until < now ? 'bad' : until - now < SOON_MS ? 'warn' : 'good');
  return html`<div class="plain-table" role="region" aria-label="Certificates of listeners" tabindex="0"><table>
    <caption class="unseen">Certificates that listeners show to clients</caption>
    <thead><tr><th scope="col">For</th><th scope="col">To clients that ask for</th><th scope="col">Expires</th><th scope="col">At</th></tr></thead>
    <tbody>
      ${presented.map(
        ({ hosts, names, key, until, nodes }) => html`<tr key=${`${key} ${until} ${hosts.join()} ${names.join()}`}>
          <th scope="row">${names.length === 0 ? 'no host' : names.join(', ')}</th>
          <td>${hosts.map((host) => (host === '*' ? 'any host' : host)).join(', ')}</td>
          <td><${Badge} tone=${toneOf(until)}><${Time} at=${until} /><//></td>
          <td>${listText(nodes)}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}
