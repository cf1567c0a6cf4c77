import type { Step } from '#services/console/schemas/messages.ts';
import { html } from '/vendor/preact.js';
import { Badge, type Tone } from '../../kit/badge.ts';
import { listText, plural } from '../../kit/format.ts';
import { Icon, type IconName } from '../../kit/icon.ts';
import { Moment, Time } from '../../kit/time.ts';
import { segment } from '../../state/api.ts';

/** The journey of a message, oldest first: what happened, and what comes next. */

export function Timeline({ steps, several }: { steps: readonly Step[]; several: boolean }) {
  return html`<ol class="timeline">
    ${steps.map((step, n) => {
      const { tone, icon, title, details } = partsOf(step, several);
      return html`<li key=${n} class=${step.kind === 'next' ? `${tone} to-come` : tone}>
        <span class="timeline-mark"><${Icon} name=${icon} /></span>
        <div class="timeline-head">
          <strong>${title}</strong>
          ${step.kind === 'next' ? html`<${Time} at=${step.at} />` : html`<${Moment} at=${step.at} />`}
        </div>
        ${details.filter(Boolean).map((detail, i) => html`<div key=${i} class="timeline-detail">${detail}</div>`)}
      </li>`;
    })}
  </ol>`;
}

type Parts = { tone: Tone; icon: IconName; title: unknown; details: unknown[] };

function partsOf(step: Step, several: boolean): Parts {
  switch (step.kind) {
    case 'accepted':
      return {
        ...{ tone: 'info', icon: 'right', title: `Accepted by ${step.node}` },
        details: [
          `from ${step.client} on ${step.listener}`,
          step.user !== undefined && `logged in as ${step.user}`,
          html`<${TlsBadge} tls=${step.tls} clear=${step.tls === undefined} />`,
        ],
      };
    case 'attempt':
      return attemptParts(step, several);
    case 'held':
      return { tone: 'warn', icon: 'pause', title: 'Held', details: [`by ${step.by}`] };
    case 'taken-over':
      return {
        ...{ tone: 'warn', icon: 'warning', title: `Taken over by ${step.node}` },
        details: [`from ${step.from}, which did not answer`],
      };
    case 'notice':
      return {
        ...{ tone: 'info', icon: 'messages', title: NOTICES[step.notice] ?? 'A notice was sent' },
        details: [html`to ${step.to || '<>'}, <a href=${`/messages/${segment(step.id)}`}>message ${step.id}</a>`],
      };
    case 'next':
      return {
        ...{ tone: 'wait', icon: 'waiting', title: 'Next attempt' },
        details: [`at ${step.nextHop}`, several && toText(step.to)],
      };
  }
}

const NOTICES: Readonly<Record<string, string>> = {
  failed: 'A non-delivery report was sent',
  delayed: 'A notice of delay was sent',
  succeeded: 'A delivery report was sent',
};

type Attempt = Extract<Step, { kind: 'attempt' }>;

const OUTCOMES: Record<Attempt['outcome'], [Tone, IconName, string]> = {
  delivered: ['good', 'check', 'Delivered'],
  deferred: ['wait', 'waiting', 'Deferred'],
  tried: ['wait', 'waiting', 'Deferred'],
  failed: ['bad', 'error', 'Failed'],
  expired: ['bad', 'error', 'Given up, since its time was over'],
};

function attemptParts(
  { outcome, to, nextHop, host, reply, tls, clear, signatures, others }: Attempt,
  several: boolean,
): Parts {
  const [tone, icon, word] = OUTCOMES[outcome];
  const isDelivered = outcome === 'delivered';
  return {
    ...{ tone, icon, title: word },
    details: [
      several && toText(to),
      host === undefined
        ? nextHop && `at ${nextHop}`
        : `${isDelivered ? 'to' : 'by'} ${host}${nextHop === undefined ? '' : `, next hop ${nextHop}`}`,
      html`<q class="said">${reply}</q>`,
      (tls !== undefined || (clear && isDelivered)) && html`<${TlsBadge} tls=${tls} clear=${clear} />`,
      signatures.length > 0
        ? html`<${Badge} tone="good">signed<//> <span class="soft">by ${listText(signatures)}</span>`
        : isDelivered && html`<${Badge} tone="idle">not signed<//>`,
      others.length > 0 && html`<${OtherHosts} others=${others} />`,
    ],
  };
}

const toText = (to: readonly string[]): string =>
  `for ${to.length > 3 ? plural(to.length, 'recipient') : listText(to)}`;

function TlsBadge({ tls, clear }: { tls: Attempt['tls'] | undefined; clear: boolean }) {
  if (tls === undefined) return clear && html`<${Badge} tone="warn">clear text<//>`;
  const verified = tls.verified === undefined ? '' : `, verified by ${tls.verified.toUpperCase()}`;
  return html`<${Badge} tone="good">${tls.protocol}<//> <span class="soft">${tls.cipher}${verified}</span>`;
}

function OtherHosts({ others }: Pick<Attempt, 'others'>) {
  return html`<details>
    <summary>${plural(others.length, 'other host')} tried before</summary>
    <ul>${others.map(({ host, reply }, n) => html`<li key=${n}>${host}: <q class="said">${reply}</q></li>`)}</ul>
  </details>`;
}
