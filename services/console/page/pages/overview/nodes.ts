import type { Overview } from '#services/console/schemas/overview.ts';
import { html } from '/vendor/preact.js';
import { Badge, type Tone } from '../../kit/badge.ts';
import { countText, listText, plural, rateText } from '../../kit/format.ts';
import { useNarrow } from '../../kit/table.ts';
import { Time } from '../../kit/time.ts';

/** The nodes: whether each is up, what passes through it, and what is wrong with one that is not. */

type Node = Overview['nodes'][number];

const STATES: Record<Node['state'], readonly [Tone, string]> = {
  up: ['good', 'up'],
  joining: ['wait', 'joining'],
  draining: ['wait', 'draining'],
  partly: ['warn', 'partly up'],
  silent: ['bad', 'silent'],
  gone: ['bad', 'gone'],
  stopped: ['idle', 'stopped'],
  unknown: ['warn', 'not known'],
};

export function StateBadge({ state }: { state: Node['state'] }) {
  const [tone, word] = STATES[state];
  return html`<${Badge} tone=${tone}>${word}<//>`;
}

type Flow = NonNullable<Node['flow']>;
const COLUMNS: readonly (readonly [title: string, value: (flow: Flow) => string])[] = [
  ['Accepted /s', ({ rates }) => rateText(rates.accepted)],
  ['Delivered /s', ({ rates }) => rateText(rates.delivered)],
  ['Deferred /s', ({ rates }) => rateText(rates.deferred)],
  ['Failed /s', ({ rates }) => rateText(rates.failed)],
  ['Active', ({ queue }) => countText(queue.active)],
  ['Waiting', ({ queue }) => countText(queue.deferred)],
  ['Held', ({ queue }) => countText(queue.hold)],
  ['Sessions', ({ sessions }) => countText(sessions)],
];

const valueText = ({ flow }: Node, value: (flow: Flow) => string): string => (flow === undefined ? '–' : value(flow));

export function Nodes({ nodes, here }: { nodes: readonly Node[]; here: string }) {
  return useNarrow()
    ? html`<ul class="node-cards">${nodes.map((node) => html`<${NodeCard} key=${node.name} node=${node} here=${here} />`)}</ul>`
    : html`<div class="plain-table nodes">
        <table>
          <caption class="unseen">Nodes</caption>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">State</th>
              ${COLUMNS.map(([title]) => html`<th key=${title} scope="col" class="numeric">${title}</th>`)}
              <th scope="col">Last heard</th>
            </tr>
          </thead>
          <tbody>${nodes.map((node) => html`<${NodeRow} key=${node.name} node=${node} here=${here} />`)}</tbody>
        </table>
      </div>`;
}

type NodeProps = { node: Node; here: string };

function NodeRow({ node, here }: NodeProps) {
  return html`<tr>
    <th scope="row"><${Name} node=${node} here=${here} /><${Troubles} node=${node} /><${Processes} node=${node} /></th>
    <td><${StateBadge} state=${node.state} /></td>
    ${COLUMNS.map(([title, value]) => html`<td key=${title} class="numeric figure">${valueText(node, value)}</td>`)}
    <td class="soft">${lastHeard(node)}</td>
  </tr>`;
}

function NodeCard({ node, here }: NodeProps) {
  return html`<li>
    <div class="node-head"><${Name} node=${node} here=${here} /><${StateBadge} state=${node.state} /></div>
    <${Troubles} node=${node} />
    <dl>
      ${COLUMNS.map(([title, value]) => html`<div key=${title}><dt>${title}</dt><dd class="figure">${valueText(node, value)}</dd></div>`)}
    </dl>
    <span class="soft">last heard ${lastHeard(node)}</span>
    <${Processes} node=${node} />
  </li>`;
}

function Name({ node: { name }, here }: NodeProps) {
  return html`<strong>${name}</strong>${name === here && html` <span class="soft here">this console</span>`}`;
}

/** What is wrong with its processes, each with its services where there are several. */
function Troubles({ node: { processes } }: { node: Node }) {
  return processes
    .filter(({ state }) => state !== 'up')
    .map(({ process, services, state, trouble }) => {
      const what = trouble ?? STATES[state][1];
      const text = processes.length === 1 ? what : `${services.join(', ')}: ${what}`;
      return html`<div key=${process} class="trouble">${text}</div>`;
    });
}

/** Which services it runs, in which processes, and since when. */
function Processes({ node: { processes } }: { node: Node }) {
  const services = new Set(processes.flatMap((one) => one.services));
  const versions = new Set(processes.map(({ version }) => version));
  return html`<details class="processes">
    <summary>${plural(services.size, 'service')} · ${listText([...versions])}</summary>
    <ul>
      ${processes.map(
        ({ process, services, state, started }) => html`<li key=${process}>
          <${StateBadge} state=${state} /> ${services.join(', ')}, started <${Time} at=${started} />
        </li>`,
      )}
    </ul>
  </details>`;
}

function lastHeard({ processes }: Node): unknown {
  const heard = Math.max(...processes.map((one) => one.heard));
  return Number.isFinite(heard) ? html`<${Time} at=${heard} />` : '–';
}
