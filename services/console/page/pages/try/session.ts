import type { TestMailReply } from '#services/console/schemas/test-mail.ts';
import { html } from '/vendor/preact.js';
import { Badge, Note } from '../../kit/badge.ts';
import { Icon } from '../../kit/icon.ts';

/** What was said in the session, and why. */

export function Session({ sent }: { sent: TestMailReply }) {
  const { listener, node, client, steps, error, queueId, notes } = sent;
  const refused = steps.find((step) => step.refused);
  return html`<div class="stack">
    <div role="status">
      ${
        queueId !== undefined
          ? html`<${Note} tone="good" title=${`Accepted as message ${queueId}.`} />`
          : html`<${Note} tone="bad" title=${refused === undefined ? 'The session ended early.' : `Refused: ${refused.reply.at(-1)}`}>${error}<//>`
      }
    </div>
    <p class="soft break">From ${client}, the machine of the listener, at ${listener} of ${node}.</p>
    <ol class="timeline">
      ${steps.map(
        ({ command, refused: isRefused, reply, why }, n) => html`<li key=${n} class=${isRefused ? 'bad' : 'good'}>
          <span class="timeline-mark"><${Icon} name=${isRefused ? 'error' : 'check'} /></span>
          <div class="timeline-head"><strong class="break">${command}</strong></div>
          ${reply.map((line, i) => html`<div key=${`r${i}`} class="timeline-detail"><q class="said">${line}</q></div>`)}
          ${why.map((reason, i) => html`<div key=${`w${i}`} class="timeline-detail">${reason}</div>`)}
        </li>`,
      )}
    </ol>
    <${Tls} tls=${sent.tls} />
    ${notes.map((note) => html`<p key=${note} class="soft break">${note}</p>`)}
    <${Findings} ...${sent} />
  </div>`;
}

function Tls({ tls }: Pick<TestMailReply, 'tls'>) {
  if (tls === undefined) return html`<p><${Badge} tone="idle">clear text<//></p>`;
  const { protocol, cipher, problem } = tls;
  return html`<p class="break">
    <${Badge} tone=${problem === undefined ? 'good' : 'warn'}>${protocol}<//> <span class="soft">${cipher}</span>
    ${problem !== undefined && html` <span class="soft">Clients that verify the certificate would not trust it: ${problem}</span>`}
  </p>`;
}

/** What policy found out about the message, and put in front of it. */
function Findings({ authentication, fields, queueId }: TestMailReply) {
  if (queueId === undefined) return undefined;
  return html`
    ${
      authentication.length === 0
        ? html`<p class="soft">SPF, DKIM and DMARC are not checked: only those of mail from elsewhere are.</p>`
        : html`<dl class="facts">
          ${authentication.map(
            ({ method, result, details, reason }, n) => html`<div key=${n}>
              <dt>${method}</dt>
              <dd>${[result, ...details, ...(reason === undefined ? [] : [reason])].join(', ')}</dd>
            </div>`,
          )}
        </dl>`
    }
    ${
      fields.length > 0 &&
      html`<details>
        <summary>Fields put in front of it</summary>
        ${fields.map((field, n) => html`<p key=${n} class="soft break">${field}</p>`)}
      </details>`
    }
  `;
}
