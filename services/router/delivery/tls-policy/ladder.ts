import type { Logger } from '#shared/log.ts';
import type { Protection, TlsDemand } from '#shared/mail/tls.ts';
import type { TlsaRecord } from '../dane/records.ts';
import type { HostUnusable } from '../smtp/errors.ts';
import type { Judgement } from './judge.ts';
import type { LostDestinations } from './lost.ts';
import type { TlsMemory } from './memory.ts';
import type { AppliedPolicy, OnTlsResult, TlsResult } from './result.ts';
import { type Target, type TlsRules, type Wanted, wantedOf } from './wanted.ts';

/**
 * In which order hosts are tried, and with which TLS. Each host is tried once with the usual ClientHello, the best first.
 * Those whose handshake failed follow, each on a fresh connection with a reduced ClientHello; those that failed again, in
 * clear text, where what is wanted of them allows it. So:
 *
 *   usual ──handshake failed──▶ reduced ──handshake failed──▶ clear (opportunistic only)
 *     └─ any other trouble, or less than is wanted: the host is not used
 *
 * A host that is known to take the reduced hello begins with it, and the usual one follows. No step is taken twice, so a
 * host that is down costs one connection, and no other port is tried than the target's. What helped is remembered: that a
 * host takes the reduced hello, by all routers for a week; that it has no TLS to speak of, by this process for a minute, so
 * that somebody who disturbs one handshake gains one minute of clear text.
 */

export type Rung = 'usual' | 'reduced' | 'clear';
/** `failure`: why the rung before this one did not do. */
export type Attempt = { target: Target; wanted: Wanted; rung: Rung; failure?: TlsResult['failure'] };
/** What an attempt led to. */
export type Opened = { protection: Protection; judgement: Judgement | undefined; localAddress: string | undefined };

export type LadderDeps = {
  rules: TlsRules;
  memory: TlsMemory | undefined;
  /** What to do where a destination has lost its TLS. */
  ifLost: () => 'wait' | 'go-on';
  lost: LostDestinations;
  onTlsResult: OnTlsResult | undefined;
  log: Logger;
};

const REDUCED_MS = 7 * 86_400_000;
const CLEAR_MS = 60_000;
/** Addresses that are remembered to have no TLS. */
const MOST_CLEAR = 100;

export class Ladder {
  readonly #deps: LadderDeps;
  /** Address → until when (`performance.now`) it starts in clear text. */
  readonly #clear = new Map<string, number>();

  constructor(deps: LadderDeps) {
    this.#deps = deps;
  }

  first(target: Target): Attempt {
    const { rules, memory, ifLost } = this.#deps;
    const now = Date.now();
    const remembered = target.domain === undefined ? undefined : memory?.domain(target.domain);
    const wanted = wantedOf(target, rules, { remembered, lost: ifLost(), now });
    const reduced = memory?.host(target.name)?.reducedHello ?? Number.NEGATIVE_INFINITY;
    if (mayGoClear(wanted) && (this.#clear.get(target.address) ?? 0) > performance.now())
      return { target, wanted, rung: 'clear', failure: { type: 'validation-failure', reason: RECENT } };
    return { target, wanted, rung: now - reduced < REDUCED_MS ? 'reduced' : 'usual' };
  }

  /** The next step with a host, to be taken after all that wait; undefined: there is none. */
  next({ target, wanted, rung, failure: before }: Attempt, error: HostUnusable): Attempt | undefined {
    const { tls } = error;
    if (tls?.handshake !== true || rung === 'clear') return undefined;
    const failure = { type: tls.type, reason: tls.reason };
    if (before === undefined) return { target, wanted, rung: rung === 'usual' ? 'reduced' : 'usual', failure };
    if (!mayGoClear(wanted)) return undefined;
    this.#deps.log.warn({ peer: error.host, error: tls.reason }, 'TLS handshake failed, sending in clear text');
    if (this.#clear.size >= MOST_CLEAR) this.#clear.clear();
    this.#clear.set(target.address, performance.now() + CLEAR_MS);
    return { target, wanted, rung: 'clear', failure };
  }

  /** A host can be used. */
  opened(attempt: Attempt, { protection, judgement, localAddress }: Opened): void {
    const { memory, lost } = this.#deps;
    const { target, wanted, rung, failure } = attempt;
    const { domain } = target;
    const { reached } = protection;
    // Only where the usual hello has failed just now: a memory that renews itself would never end.
    if (rung === 'reduced' && failure !== undefined && reached !== 'clear')
      memory?.noteHost(target.name, { reducedHello: Date.now() });
    if (domain === undefined || wanted.tls === 'off') return;
    if (reached !== 'clear') {
      memory?.noteDomain(domain, { reached, at: Date.now() });
      lost.regained(domain);
    } else if (wanted.by === 'memory') lost.note(domain, target.name, 'sent in clear text');
    this.#report(target, localAddress, failureOf(attempt, protection, judgement));
  }

  /** A host cannot be used. */
  failed({ target, wanted }: Attempt, { tls }: HostUnusable): void {
    // What has nothing to do with TLS is no session in the terms of reports.
    if (tls === undefined || target.domain === undefined) return;
    if (wanted.by === 'memory') this.#deps.lost.note(target.domain, target.name, 'waits');
    this.#report(target, undefined, { type: tls.type, reason: tls.reason });
  }

  #report(target: Target, localAddress: string | undefined, failure: TlsResult['failure']): void {
    const { domain, name, address } = target;
    if (domain === undefined) return;
    this.#deps.onTlsResult?.({ domain, policy: policyOf(target), host: { name, address, localAddress }, failure });
  }
}

const RECENT = 'the TLS handshake failed a moment ago';

export function mayGoClear({ tls }: { tls: TlsDemand }): boolean {
  return tls === 'opportunistic' || tls === 'off';
}

/** What of a session that came about is not as the policy asks; a policy in testing asks without being followed. */
function failureOf(
  { target: { dane, sts, name }, failure }: Attempt,
  { reached, why }: Protection,
  judgement: Judgement | undefined,
): TlsResult['failure'] {
  if (reached === 'clear') return failure ?? { type: 'starttls-not-supported', reason: why ?? 'no TLS' };
  if (dane !== undefined || sts === undefined) return undefined;
  if (!sts.matches) return { type: 'validation-failure', reason: `${name} is not named by the policy` };
  return judgement?.web;
}

function policyOf({ dane, sts }: Target): AppliedPolicy {
  if (dane !== undefined)
    return { type: 'tlsa', strings: dane.kind === 'records' ? dane.records.map(tlsaText) : [], mxHosts: [] };
  if (sts !== undefined) return { type: 'sts', strings: sts.policy.lines, mxHosts: sts.policy.mx };
  return { type: 'no-policy-found', strings: [], mxHosts: [] };
}

/** A TLSA record as zone files have it. */
function tlsaText({ usage, selector, matching, data }: TlsaRecord): string {
  return `${usage} ${selector} ${matching} ${data.toString('hex')}`;
}
