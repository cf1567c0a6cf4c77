import type { GroupedBy, QueueGroup } from '#services/console/schemas/queue.ts';
import { html } from '/vendor/preact.js';
import { countText } from '../../kit/format.ts';
import { groupHref, messagesText } from './groups.ts';

/** The longest queues as bars, of which the held part is set apart. Figures beside them say the same. */

const MOST_BARS = 8;

export function Bars({ by, groups }: { by: GroupedBy; groups: readonly QueueGroup[] }) {
  const longest = groups[0]?.messages ?? 1;
  return html`<ul class="bars">
    ${groups.slice(0, MOST_BARS).map((group) => {
      const { key, messages, held } = group;
      const href = groupHref(by, group);
      const width = (n: number): object => ({ width: `${(n / longest) * 100}%` });
      return html`<li key=${key}>
        <span class="bar-name" title=${key}>${href === undefined ? key : html`<a href=${href}>${key}</a>`}</span>
        <span class="bar" title=${messagesText(group)}><span style=${width(messages - held)}></span><span class="held" style=${width(held)}></span></span>
        <span class="bar-figure figure">${countText(messages)}${held > 0 && html`<span class="unseen">, ${countText(held)} held</span>`}</span>
      </li>`;
    })}
  </ul>`;
}
