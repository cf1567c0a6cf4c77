import type { KeyReply, KeyShown, KeyVerified } from '#services/console/schemas/keys.ts';
import { html, useState } from '/vendor/preact.js';
import { Badge, Note } from '../../kit/badge.ts';
import { Copyable } from '../../kit/copy.ts';
import { ActionButton } from '../../kit/dialog.ts';
import { listText } from '../../kit/format.ts';
import { Card, Facts, PageHead, Prose, shown } from '../../kit/layout.ts';
import { Moment, Time } from '../../kit/time.ts';
import { complain } from '../../kit/toast.ts';
import { get, post, segment } from '../../state/api.ts';
import { useData } from '../../state/data.ts';
import { go } from '../../state/router.ts';
import { mayChange, useSession } from '../../state/session.ts';
import { DnsState, KeyState, RotationState } from './states.ts';

/** One key: what it does, where it is, and its record to copy. */

type KeyProps = { domain: string; selector: string };

const pathOf = ({ domain, selector }: KeyProps): string => `keys/${segment(domain)}/${segment(selector)}`;

export function OneKey(name: KeyProps) {
  const found = useData<KeyReply>(pathOf(name), {}, 2000);
  const actions =
    mayChange(useSession()) && found.data && html`<${Actions} reload=${found.reload} of=${found.data.key} />`;
  return html`
    <${PageHead} title=${`${name.selector} of ${name.domain}`} actions=${actions}>
      <a href="/keys">All keys</a>
    <//>
    ${shown(found, (reply) => html`<${Shown} reply=${reply} />`)}
  `;
}

const PUBLISHED_BY = {
  update: 'Sealpost, by an update of the zone',
  manual: 'you, by hand',
  cname: 'Sealpost, where the CNAME points to',
  none: 'nobody: the domain is not in DNS',
} as const;

function Shown({ reply: { key, lacking, record, rotation } }: { reply: KeyReply }) {
  return html`
    ${key.note && html`<${Note} tone=${key.exposed ? 'bad' : 'warn'} title=${html`<${Prose} text=${key.note} />`} />`}
    <div class="columns">
      <${Card} title="State">
        <${Facts} rows=${[
          ['State', html`<${KeyState} ...${key} /> since <${Time} at=${key.since} />`],
          ['Now', html`<${Prose} text=${`It ${key.next}.`} />`],
          ['Nodes', nodesOf(key, lacking)],
          [
            'DNS',
            html`<${DnsState} ...${key} /> ${key.dns && html`seen by ${key.dns.node} <${Time} at=${key.dns.at} />`}`,
          ],
          ['Published by', PUBLISHED_BY[key.publish]],
          ['Algorithm', key.algorithm],
          ['Created', html`<${Moment} at=${key.created} />`],
          ['Wrapped by', key.nek === undefined ? 'nothing: the private key is erased' : `NEK ${key.nek}`],
          ['Fingerprint', html`<code class="break">${key.fingerprint}</code>`],
        ]} />
      <//>
      ${
        rotation &&
        html`<${Card} title="Rotation">
          <p><${RotationState} ...${rotation} /> <${Prose} text=${rotation.text} /></p>
          <p><a href=${`/keys/${segment(key.domain)}`}>Its steps</a></p>
        <//>`
      }
    </div>
    ${
      record &&
      html`<${Card} title="Record in DNS">
        <p class="soft">A TXT record at <code class="break">${record.name}</code>, time to live ${record.ttl} s.</p>
        <${Copyable} text=${record.value} label="the value of the record" />
        <${Copyable} text=${record.zone} label="the line of a zone file" />
        ${record.cname && html`<p class="soft">In the zone of the domain, once:</p><${Copyable} text=${record.cname} label="the CNAME record" />`}
      <//>`
    }
    ${key.publish !== 'none' && html`<${Views} of=${key} />`}
  `;
}

function nodesOf({ nodes: { holding, live } }: KeyShown, lacking: readonly string[]): string {
  const not = lacking.length === 0 ? '' : `, not on ${listText(lacking)}`;
  return `on ${holding.length} of ${live}: ${listText(holding)}${not}`;
}

/** What each name server answers, and each node sees when it is asked. */
function Views({ of: key }: { of: KeyShown }) {
  const [seen, setSeen] = useState<KeyVerified | undefined>(undefined);
  const [busy, setBusy] = useState(false);
  const look = async (): Promise<void> => {
    if (busy) return;
    setBusy(true);
    try {
      setSeen(await get<KeyVerified>(`${pathOf(key)}/views`));
    } catch (error) {
      complain(error);
    }
    setBusy(false);
  };
  const button = html`<button type="button" aria-disabled=${busy} onClick=${look}>${busy ? 'Looking …' : 'Look from every node now'}</button>`;
  return html`<${Card} title="Name servers" actions=${button}>
    ${key.dns && key.dns.servers.length > 0 && html`<${Verdicts} label="Name servers" head="Name server" rows=${key.dns.servers.map((s) => [s.host ? `${s.host} (${s.server})` : s.server, s.verdict, s.detail])} />`}
    ${seen && html`<${Verdicts} label="As the nodes see it" head="Node" rows=${seen.views.map((v) => [v.node, v.verdict, v.summary])} />`}
    ${seen?.unproven.map(({ node, reason }) => html`<${Note} key=${node} tone="bad" title=${`The signer of ${node} did not prove the key: ${reason}.`} />`)}
  <//>`;
}

function Verdicts({
  label,
  head,
  rows,
}: {
  label: string;
  head: string;
  rows: readonly (readonly [string, string, string])[];
}) {
  return html`<div class="plain-table"><table>
    <caption class="unseen">${label}</caption>
    <thead><tr><th scope="col">${head}</th><th scope="col">Verdict</th><th scope="col">What it says</th></tr></thead>
    <tbody>
      ${rows.map(
        ([name, verdict, detail]) => html`<tr key=${name}>
          <th scope="row">${name}</th>
          <td><${Badge} tone=${verdict === 'ok' ? 'good' : 'warn'}>${verdict}<//></td>
          <td class="soft">${detail}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

function Actions({ of: key, reload }: { of: KeyShown; reload: () => unknown }) {
  const { domain, selector, state, signed } = key;
  const name = `${selector} of ${domain}`;
  const send = (verb: string) => (): Promise<unknown> => post(`${pathOf(key)}/${verb}`);
  const common = { after: reload };
  return html`
    ${state === 'proven' && html`<${ActionButton} label="Activate" ...${common} kind="primary" run=${send('activate')} done=${`${name} is about to sign.`} />`}
    ${
      state === 'active' &&
      html`<${ActionButton} label="Retire" ...${common} run=${send('retire')} done=${`${name} signs no more.`} confirm=${{
        title: `Retire ${name}?`,
        text: 'It signs no more, on all nodes. Its record stays in DNS for the mail that it has signed. To replace it, rotate the keys of the domain instead.',
        verb: 'Retire the key',
      }} />`
    }
    ${
      state !== 'revoked' &&
      state !== 'deleted' &&
      html`<${ActionButton} label="Revoke" ...${common} kind="danger" run=${send('revoke')} done=${`${name} is revoked.`} confirm=${{
        title: `Declare ${name} compromised?`,
        text: 'It signs no more at once, and its record says that it is revoked: mail that it signed and that is still on its way fails DKIM. Where it is the last active key, mail of the domain waits or leaves unsigned, as its signing mode says.',
        verb: 'Revoke the key',
        danger: true,
        typed: selector,
      }} />`
    }
    ${
      (state === 'revoked' || (!signed && state !== 'active')) &&
      html`<${ActionButton} label="Delete" kind="danger" run=${send('delete')} done=${`${name} is gone.`} after=${() => go('/keys')} confirm=${{
        title: `Delete ${name}?`,
        text: 'The key is erased on all nodes, and its record goes.',
        verb: 'Delete the key',
        danger: true,
      }} />`
    }
  `;
}
