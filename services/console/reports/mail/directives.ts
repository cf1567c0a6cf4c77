import { setTimeout as delay } from 'node:timers/promises';
import { routerContract } from '#services/router/contract.ts';
import type { Directive, DirectiveSubject } from '#shared/directive.ts';
import type { Clients } from '../clients.ts';
import { type Routers, unheard } from './routers.ts';

/** What operators have told all routers. One of them is told; the others hear of it. */

/** How long the other routers may take to hear of it. */
const HEARD_MS = 3000;
const LOOK_MS = 50;

/** The command that ends one. */
export function endingOf({ kind, about, name }: DirectiveSubject): string {
  return kind === 'suspend' ? `"sealpost queue resume --${about} ${name}"` : `"sealpost queue redirect ${name} --end"`;
}

/** Those of a node that hold at `now` (ms since 1970). */
export async function directivesInForce(clients: Clients, node: string, now: number): Promise<Directive[]> {
  const all = await everyDirective(clients, node);
  return all.filter(({ until, ended }) => until > now && ended !== true);
}

/** The routers that have not heard of it after a moment, each told to `onLacking`. They hear of it when they are back. */
export async function heard(
  clients: Clients,
  { up, silent }: Routers,
  wanted: Directive,
  onLacking: (node: string, error: unknown) => void,
): Promise<string[]> {
  const until = performance.now() + HEARD_MS;
  const lacking = await Promise.all(
    up.map(async (node): Promise<string[]> => {
      for (;;) {
        const answer = await follows(clients, node, wanted).catch((error: unknown) => ({ error }));
        if (answer === true) return [];
        if (performance.now() < until) await delay(LOOK_MS);
        else {
          onLacking(node, typeof answer === 'object' ? answer.error : unheard());
          return [node];
        }
      }
    }),
  );
  for (const node of silent) onLacking(node, unheard());
  return [...lacking.flat(), ...silent];
}

async function follows(clients: Clients, node: string, wanted: Directive): Promise<boolean> {
  const all = await everyDirective(clients, node);
  const found = all.find(
    ({ kind, about, name }) => kind === wanted.kind && about === wanted.about && name === wanted.name,
  );
  return found !== undefined && found.at >= wanted.at && (found.ended ?? false) === (wanted.ended ?? false);
}

async function everyDirective(clients: Clients, node: string): Promise<Directive[]> {
  const router = clients.client(routerContract);
  const all: Directive[] = [];
  for (let after: string | undefined; ; ) {
    const { directives, next } = await router['directive-list'](after === undefined ? {} : { after }, { node });
    all.push(...directives);
    if (next === undefined) return all;
    after = next;
  }
}
