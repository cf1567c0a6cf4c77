import type { KeyShown, RotationShown } from '#services/console/schemas/keys.ts';
import { html } from '/vendor/preact.js';
import { Badge, type Tone } from '../../kit/badge.ts';

/** States of keys and rotations as badges. */

const KEY_TONES: Record<KeyShown['state'], Tone> = {
  created: 'wait',
  replicated: 'wait',
  published: 'wait',
  proven: 'info',
  active: 'good',
  retiring: 'idle',
  retired: 'idle',
  revoked: 'idle',
  deleted: 'idle',
};

export function KeyState({ state, frozen, problem }: Pick<KeyShown, 'state' | 'frozen' | 'problem'>) {
  const tone = problem === undefined ? KEY_TONES[state] : 'warn';
  return html`<${Badge} tone=${tone}>${frozen ? `${state}, frozen` : state}<//>`;
}

const ROTATIONS: Record<RotationShown['state'], readonly [Tone, string]> = {
  running: ['wait', 'running'],
  frozen: ['warn', 'frozen'],
  stopped: ['bad', 'held up'],
  done: ['good', 'done'],
  'rolled-back': ['idle', 'rolled back'],
};

export function RotationState({ state }: Pick<RotationShown, 'state'>) {
  const [tone, word] = ROTATIONS[state];
  return html`<${Badge} tone=${tone}>${word}<//>`;
}

/** Whether DNS has what it should have of a key. */
export function DnsState({ publish, dns }: Pick<KeyShown, 'publish' | 'dns'>) {
  if (publish === 'none') return html`<span class="soft">not in DNS</span>`;
  if (dns === undefined) return html`<${Badge} tone="wait">not seen yet<//>`;
  return html`<${Badge} tone=${dns.verdict === 'ok' ? 'good' : 'warn'} title=${dns.summary}>${dns.verdict}<//>`;
}

/** On how many of the live nodes it is. */
export function OnNodes({ nodes: { holding, live } }: Pick<KeyShown, 'nodes'>) {
  const all = holding.length >= live;
  return html`<${Badge} tone=${all ? 'good' : 'warn'} title=${holding.join(', ')}>${holding.length} of ${live}<//>`;
}
