import type { Overview } from '#services/console/schemas/overview.ts';
import { durationText, listText, plural } from '../../kit/format.ts';
import type { Known } from './figures.ts';

/** The whole cluster in one sentence: does mail flow, and does something need a hand? Pure. */

export type Verdict = { tone: 'good' | 'warn' | 'bad'; title: string; text: string };

const LOST = ['silent', 'gone'];

/** `stale`: for how many ms nothing came, where that is longer than it should be. */
export function verdictOf({ now, history }: Known, stale: number | undefined): Verdict {
  if (stale !== undefined) {
    const text = `For ${durationText(stale)} nothing came from the console of ${now.node}. What is below may no longer be so. This page tries again by itself.`;
    return { tone: 'bad', title: 'This page has lost its console', text };
  }
  if (now.away !== undefined) {
    const text = `For ${durationText(now.away)} it has seen only its own processes. Each node goes on with what it has; look for NATS, and at other nodes’ consoles.`;
    return { tone: 'bad', title: `${now.node} does not reach NATS`, text };
  }
  const lost = now.nodes.filter(({ state }) => LOST.includes(state));
  const errors = now.alarms.filter(({ severity }) => severity === 'error').length;
  const warnings = now.alarms.filter(({ severity }) => severity === 'warning').length;
  const flow = flowText(history.accepted, history.delivered);
  if (lost.length > 0) {
    const [names, are] = [listText(lost.map(({ name }) => name)), lost.length === 1 ? 'does' : 'do'];
    return { tone: 'bad', title: `${names} ${are} not answer`, text: `${upText(now)} ${flow}` };
  }
  if (errors > 0)
    return { tone: 'bad', title: `${plural(errors, 'thing')} went wrong`, text: `${flow} What to do stands below.` };
  if (warnings > 0)
    return {
      tone: 'warn',
      title: `${plural(warnings, 'thing')} may need a hand`,
      text: `${flow} What to do stands below.`,
    };
  return { tone: 'good', title: 'Nothing needs a hand', text: `${upText(now)} ${flow}` };
}

/** Nodes that were stopped, or begin or end, are no trouble, and not up. */
function upText({ nodes }: Overview): string {
  const up = nodes.filter(({ state }) => state === 'up').length;
  return up === nodes.length ? `${plural(up, 'node')} up.` : `${up} of ${plural(nodes.length, 'node')} up.`;
}

/** Of the last minutes, as long as the history is. */
function flowText(accepted: readonly (number | null)[], delivered: readonly (number | null)[]): string {
  const some = (column: readonly (number | null)[]): boolean => column.some((rate) => rate !== null && rate > 0);
  if (some(delivered)) return 'Mail flows.';
  return some(accepted)
    ? 'Mail comes in, but none was delivered in the last minutes.'
    : 'No mail came in the last minutes.';
}
