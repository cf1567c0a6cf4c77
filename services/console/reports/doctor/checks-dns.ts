import type { DnsView, KeyStatus } from '#shared/keys/key-status.ts';
import { leavesNothing, removalText } from '../keys/record.ts';
import { laggingHelp } from '../keys/way-on.ts';
import {
  type Check,
  type CheckedKey,
  type Facts,
  type Finding,
  keyArguments,
  keyName,
  listText,
  type Severity,
} from './finding.ts';

/**
 * What DNS says of the keys. Every node looked, at every authoritative server; each verdict is reported once, with the
 * nodes that came to it. How bad it is depends on what the key is needed for.
 */

type Verdict = DnsView['verdict'];

const DAY_MS = 86_400_000;

/** The record of a key is not what it should be. */
const wrong =
  (verdict: Verdict): Check =>
  (facts) =>
    facts.keys.flatMap((checked) => wrongRecord(facts, checked, verdict));

export const DNS_CHECKS: Record<string, Check> = {
  'record-missing': wrong('missing'),
  'record-different': wrong('different'),
  'record-duplicate': wrong('duplicate'),
  'record-malformed': wrong('malformed'),
  'dns-unreachable': unreachable,
  'dns-not-looked': notLooked,
};

function wrongRecord(facts: Facts, checked: CheckedKey, verdict: Verdict): Finding[] {
  const views = checked.views.filter((v) => v.verdict === verdict);
  const [first] = views;
  if (first === undefined) return [];
  const severity = severityOf(checked.key, verdict, facts.now);
  if (severity === undefined) return [];
  const early =
    checked.key.state === 'retiring' && verdict === 'missing'
      ? 'its record went too early: mail that it signed is still on its way; '
      : '';
  const text = `${early}${first.summary}${seenFrom(views, checked.views)}`;
  return [{ severity, about: keyName(checked), text, help: helpFor(checked, verdict, first) }];
}

/** How bad a wrong record is; undefined: it does not matter in this state, or is to be expected. */
function severityOf(key: KeyStatus, verdict: Verdict, now: number): Severity | undefined {
  const late = now - key.since > DAY_MS;
  switch (key.state) {
    case 'replicated':
      // What an administrator is to publish by hand is awaited in this state.
      return key.publish === 'manual' ? awaited(verdict, late) : undefined;
    case 'active':
      return 'error';
    case 'proven':
    case 'retiring':
      return 'warning';
    case 'published':
      return awaited(verdict, late);
    case 'retired':
      return late ? 'warning' : 'note';
    case 'revoked':
      // A record that is gone already does no harm.
      return verdict === 'missing' ? undefined : 'warning';
    default:
      return undefined;
  }
}

/** A record that is missing may still appear; one that is wrong stays wrong until it is corrected. */
const awaited = (verdict: Verdict, late: boolean): Severity => (verdict !== 'missing' || late ? 'warning' : 'note');

function helpFor(checked: CheckedKey, verdict: Verdict, view: DnsView): string {
  const { publish, state } = checked.key;
  const record = `"sealpost keys export-dns ${keyArguments(checked)}"`;
  const alias = publish === 'cname' && view.servers.some((s) => s.verdict === verdict && s.detail.includes('CNAME'));
  if (alias) return `put the CNAME line of ${record} into the zone of ${checked.key.domain}`;
  if (verdict === 'duplicate') return `leave only the record that ${record} prints`;
  const late = laggingHelp(view);
  if (late !== undefined) return late;
  if (publish === 'update' || publish === 'cname') {
    return `Sealpost writes it by itself: "sealpost keys show ${keyArguments(checked)}" says what keeps it from that`;
  }
  if (leavesNothing(checked.key)) return removalText(checked.key);
  if (verdict === 'missing') return `publish what ${record} prints`;
  const form = state === 'retired' || state === 'revoked' ? '' : ', with --value for the web form of a provider';
  return `replace it by what ${record} prints${form}`;
}

/** DNS could not be asked, so nothing is known. */
function unreachable({ keys }: Facts): Finding[] {
  return keys.flatMap((checked) => {
    const views = checked.views.filter((v) => v.verdict === 'unreachable' || v.verdict === 'error');
    const [first] = views;
    if (first === undefined) return [];
    return [
      {
        severity: 'warning',
        about: keyName(checked),
        text: `${first.summary}${seenFrom(views, checked.views)}`,
        help: `see that the server answers, and that ${listText(views.map((v) => v.node))} may ask it on port 53, by UDP and TCP; one that is gone for good has to leave the NS records of the zone, or dns.zones`,
      },
    ];
  });
}

/** No node could be asked to look. */
function notLooked({ keys }: Facts): Finding[] {
  return keys.flatMap((checked) =>
    checked.trouble === undefined
      ? []
      : [
          {
            severity: 'warning',
            about: keyName(checked),
            text: `could not be looked at: ${checked.trouble}`,
            help: 'try again; "sealpost status" shows what answers',
          },
        ],
  );
}

/** The nodes that saw it so, and those that did not. */
function seenFrom(views: readonly DnsView[], all: readonly DnsView[]): string {
  const others =
    all.length > views.length ? `, not from ${listText(all.filter((v) => !views.includes(v)).map((v) => v.node))}` : '';
  return `, seen from ${listText(views.map((v) => v.node))}${others}`;
}
