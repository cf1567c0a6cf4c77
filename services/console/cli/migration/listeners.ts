import type { Draft } from './draft.ts';
import { type Answer, none, taken, toDo } from './plan.ts';

/** Entries of `listeners` that an import makes. */

export type Listener = {
  name: string;
  kind: 'relay' | 'submission';
  port: number;
  tls: string;
  auth?: string;
  address?: string;
};

/** `bound`: addresses to listen on where a listener names none; none: every one. */
export type ListenerTarget = { draft: Draft; bound: readonly string[] };

/** By their ports: RFC 5321, RFC 6409, RFC 8314. */
export const LISTENER_NAMES: Readonly<Record<number, string>> = { 25: 'mx', 587: 'submission', 465: 'submissions' };

const TWICE = none('the port has a listener already');

/**
 * A listener, at each address of `bound`, or at every address where there is none. Without a certificate there is none for
 * what must not go in clear text.
 */
export function addListener(target: ListenerTarget, listener: Listener, certificate: boolean): Answer {
  const { name, kind, port, tls, auth } = listener;
  const text = `{ name: ${name}, kind: ${kind}, port: ${port} }`;
  if (certificate) {
    // A user's password must not go in clear text: a listener for users always offers TLS.
    const needed = tls === 'none' && (kind === 'submission' || auth !== undefined) ? 'starttls' : tls;
    if (!push(target, { ...listener, tls: needed })) return TWICE;
    return taken(needed === tls ? text : `${text}; with TLS, without which no password is taken`, 'listeners');
  }
  if (kind === 'submission' || tls === 'starttls-required' || tls === 'implicit') {
    return toDo(`${text} needs a certificate: add tls: { certificate: …, key: … } and this listener`);
  }
  const { auth: _, ...plain } = listener;
  if (!push(target, { ...plain, tls: 'none' })) return TWICE;
  if (tls === 'none' && auth === undefined) return taken(text, 'listeners');
  const logIn = auth === undefined ? '' : ', and without AUTH';
  return toDo(`${text} stands there without TLS${logIn}, until there is a certificate`);
}

/** One listener for each address, whose name and port are its own; false where none was free. */
function push({ draft, bound }: ListenerTarget, listener: Listener): boolean {
  const all = listener.address !== undefined ? [listener.address] : bound.length > 0 ? bound : ['::'];
  let made = false;
  for (const address of all) {
    const others = (draft.get('listeners') ?? []) as Listener[];
    const clash = others.some((o) => o.port === listener.port && overlap(o.address ?? '::', address));
    if (clash) continue;
    const names = new Set(others.map(({ name }) => name));
    let { name } = listener;
    for (let i = 2; names.has(name); i++) name = `${listener.name}-${i}`;
    draft.add('listeners', { ...listener, name, ...(address !== '::' && { address }) });
    made = true;
  }
  return made;
}

const overlap = (a: string, b: string): boolean =>
  a === b || [a, b].some((address) => address === '::' || address === '0.0.0.0');
