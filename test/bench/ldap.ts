import { setTimeout as delay } from 'node:timers/promises';
import { BASE, FOLDERS, person, Slapd } from '#test/kit/ldap/slapd.ts';
import { type PolicyUnderTest, STRANGER, said, startPolicy } from '#test/kit/nodes/policy.ts';

/**
 * How long policy takes to check recipients against a slapd with 100,000 users, of which it is asked for 500 a second,
 * whether it answers or not: `node test/bench/ldap.ts`. Every tenth recipient does not exist. First nothing is remembered,
 * so that each check is a search; then with the cache as it is by default, and recipients that come again.
 */
const USERS = 100_000;
const PER_SECOND = 500;
const SECONDS = 20;

/** Milliseconds of one check. Fails where its answer is wrong. */
async function check({ policy }: PolicyUnderTest, user: number): Promise<number> {
  const exists = user % 10 !== 0;
  const address = exists ? `user${user}@example.com` : `nobody${user}@example.com`;
  const began = performance.now();
  const verdict = await policy['recipient-check']({
    facts: STRANGER,
    reversePath: 'x@outside.test',
    recipient: { address },
  });
  const took = performance.now() - began;
  if (said(verdict) !== (exists ? '250' : '550 5.1.1 No such user here'))
    throw new Error(`${address}: ${said(verdict)}`);
  return took;
}

async function report(name: string, url: string, among: number, more: Record<string, unknown>): Promise<void> {
  const ldap = { urls: [url], starttls: false, base: BASE, preset: 'openldap', ...more };
  await using under = await startPolicy('127.0.0.1:1', {
    domains: [{ name: 'example.com', local: true }],
    directory: { ldap },
  });
  const checks: Promise<number>[] = [];
  const start = performance.now();
  for (let i = 0; i < PER_SECOND * SECONDS; i++) {
    const due = start + (i * 1000) / PER_SECOND;
    if (due > performance.now()) await delay(due - performance.now());
    checks.push(check(under, Math.floor(Math.random() * among)));
  }
  const times = (await Promise.all(checks)).sort((a, b) => a - b);
  const seconds = (performance.now() - start) / 1000;
  const at = (part: number): string => `${(times[Math.floor(times.length * part)] ?? 0).toFixed(1)} ms`;
  process.stdout.write(
    `${name}: ${Math.round(times.length / seconds)} checks/s, median ${at(0.5)}, 95 % under ${at(0.95)}, 99 % under ${at(0.99)}, longest ${times.at(-1)?.toFixed(1)} ms\n`,
  );
}

const ldif = FOLDERS + Array.from({ length: USERS }, (_, i) => person({ uid: `user${i}` })).join('');
await using slapd = await Slapd.start({ ldif, quiet: true });
await report('without a cache', slapd.url, USERS, { cache: { found: '0s', missing: '0s' } });
await report('with the cache', slapd.url, 5000, {});
