import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus, ScheduleStatus } from '#shared/keys/rotation.ts';
import { formatDuration, formatTime } from '#shared/units.ts';

/**
 * What people read of keys, rotations and schedules. Nothing here is cleaned for the terminal: `table` and `pairs` do
 * that.
 */

/** `5/5`, or `4/5, not edge-3`. `live`: names of all live nodes, where they are known. */
export function nodesText({ nodes: { holding, live } }: KeyStatus, names: readonly string[] = []): string {
  const lacking = names.filter((name) => !holding.includes(name));
  const not = holding.length < live && lacking.length > 0 ? `, not ${lacking.join(', ')}` : '';
  return `${holding.length}/${live}${not}`;
}

/** `ok`, or `missing at ns2.example.com (192.0.2.2)`, the first server where it is not; `-` for a key in no DNS. */
export function dnsText({ publish, dns }: KeyStatus): string {
  if (publish === 'none') return '-';
  if (dns === undefined) return 'not looked at yet';
  if (dns.verdict === 'ok') return 'ok';
  const [first, ...others] = dns.servers.filter((s) => s.verdict !== 'ok');
  if (first === undefined) return dns.summary;
  return `${first.verdict} at ${first.server}${others.length === 0 ? '' : ` and ${others.length} more`}`;
}

/** What a key does or waits for now: one sentence without its full stop. */
export function nextText(key: KeyStatus): string {
  const signs = key.state === 'active' || key.state === 'retiring';
  if (key.problem?.permanent && !signs) return 'is held up by a problem that needs you';
  const manual = key.publish === 'manual';
  const until = key.until === undefined ? '' : formatTime(key.until);
  switch (key.state) {
    case 'created':
      return 'waits until every node has shown that it can sign with it';
    case 'replicated':
      if (key.publish === 'none') return 'goes on by itself, without DNS';
      return manual ? 'waits for its record in DNS: publish it' : 'Sealpost is about to publish its record';
    case 'published':
      return 'waits until every name server returns its record, seen from every node';
    case 'proven':
      return key.activate
        ? 'is about to sign'
        : `is ready; "sealpost keys activate ${key.domain} ${key.selector}" lets it sign`;
    case 'active':
      return 'signs mail';
    case 'retiring':
      return `signs no more; its record stays${until && ` until ${until}`} for the mail that it signed`;
    case 'retired':
      return manual
        ? 'waits for a record that says it is revoked: publish it'
        : 'its record is about to say that it is revoked';
    case 'revoked':
      return manual
        ? `is revoked; remove its record${until && ` after ${until}`}`
        : `is revoked; its record goes${until && ` after ${until}`}`;
    case 'deleted':
      return 'is gone';
  }
}

/** Its trouble, since when, and what helps where it is seldom tried again by itself. */
export function problemText({ domain, problem }: KeyStatus): string | undefined {
  if (problem === undefined) return undefined;
  const again = problem.permanent ? `; tried every 10 minutes, or by "sealpost keys resume ${domain}"` : '';
  return `${problem.text} (for ${formatDuration(Date.now() - problem.since)}${again})`;
}

/** What a compromised key that may still be in DNS means, with what keeps its revocation from there; '' for others. */
export function exposureText(key: KeyStatus): string {
  if (!key.exposed) return '';
  const why = problemText(key) ?? key.dns?.summary;
  return `is compromised and may still be in DNS: mail forged with it passes until every name server has its revocation${why === undefined ? '' : `; ${why}`}`;
}

/** States in which a verifier may look for the record at any moment. */
const NEEDS_RECORD: Partial<Record<KeyStatus['state'], string>> = {
  active: 'a key that signs',
  retiring: 'a key that has signed',
};

/** What needs a look: a compromised key in DNS, the trouble of a key, or a record that was removed. One line. */
export function noteText(key: KeyStatus): string | undefined {
  const whose = NEEDS_RECORD[key.state];
  const seen = key.dns !== undefined && key.dns.verdict !== 'ok' && key.publish !== 'none' ? key.dns : undefined;
  const unknown = seen?.verdict === 'unreachable' || seen?.verdict === 'error';
  const how = unknown ? 'cannot be seen everywhere' : 'is not as it should be';
  const lost = whose && seen && `the record of ${whose} ${how}: ${seen.summary}`;
  const text = exposureText(key) || (problemText(key) ?? lost);
  return text === undefined ? undefined : `${key.selector} of ${key.domain}: ${text}`;
}

/** `s1 → s2`. */
export function changeText({ from, to }: Pick<RotationStatus, 'from' | 'to'>): string {
  const names = (keys: { selector: string }[]): string => keys.map((k) => k.selector).join(', ');
  return `${names(from)} → ${names(to)}`;
}

/** One line: where a rotation stands and what it waits for. */
export function rotationText(rotation: RotationStatus): string {
  const { domain, state, started, waiting, sideBySideUntil: both } = rotation;
  const over = state === 'done' || state === 'rolled-back' || (state === 'running' && both !== undefined);
  const running = `running for ${formatDuration(Date.now() - started)}`;
  const how = {
    running: both === undefined ? running : `every node has switched; both sign until ${formatTime(both)}`,
    frozen: `frozen: "sealpost keys resume ${domain}" lets it go on`,
    stopped: `held up, and tried every 10 minutes, or by "sealpost keys resume ${domain}"`,
    done: 'done',
    'rolled-back': 'rolled back',
  }[state];
  return `rotation of ${domain} (${changeText(rotation)}): ${how}${over || waiting === undefined ? '' : `; ${waiting}`}`;
}

export function scheduleText({ domain, days, at, zone, parallel, next }: ScheduleStatus): string {
  const every = days === 1 ? 'every day' : `every ${days} days`;
  return `schedule of ${domain}: ${every} at ${at} ${zone}${parallel ? ', beside others' : ''}, next ${formatTime(next)}`;
}
