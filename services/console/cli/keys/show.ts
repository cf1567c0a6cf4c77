import { SealpostError } from '#shared/errors.ts';
import type { DnsView, KeyStatus } from '#shared/keys/key-status.ts';
import { formatDuration, formatTime } from '#shared/units.ts';
import { liveNodes } from '../../reports/keys/overview.ts';
import { leavesNothing, recordOf, removalText, zoneText } from '../../reports/keys/record.ts';
import { dnsText, exposureText, nextText, nodesText, problemText } from '../../reports/keys/text.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { cleanLines, pairs, table } from '../table.ts';

/** `sealpost keys show` and `keys export-dns`: one key. */

export async function show(domain: string, selector: string, options: CommonOptions): Promise<void> {
  const { key, live } = await withStore(options, async (store) => {
    const found = await store['key-show']({ domain, selector });
    const { node } = await store['status-show']({});
    const whole = found.nodes.holding.length === found.nodes.live;
    return { key: found, live: whole ? [] : await liveNodes(store, node) };
  });
  print(options, { ...key, ...(!leavesNothing(key) && { dnsRecord: recordOf(key) }) }, () => {
    const parts = [pairs(facts(key, live)), key.publish === 'none' ? '' : recordText(key), servers(key)];
    return parts.filter((part) => part !== '').join('\n\n');
  });
}

function recordText(key: KeyStatus): string {
  return leavesNothing(key) ? removalText(key) : cleanLines(zoneText(recordOf(key)));
}

const PUBLISHED_BY = {
  update: 'Sealpost, by an update of the zone',
  manual: 'you',
  cname: 'Sealpost, where the CNAME points to',
  none: 'nobody: the domain is not in DNS',
} as const;

function facts(key: KeyStatus, live: string[]): [string, string][] {
  const problem = exposureText(key) || problemText(key);
  return [
    ['key', `${key.selector} of ${key.domain}`],
    ['state', `${key.state} for ${formatDuration(Date.now() - key.since)}`],
    ['next', nextText(key)],
    ...(problem === undefined ? [] : [['problem', problem] as [string, string]]),
    ['algorithm', key.algorithm],
    ['created', formatTime(key.created)],
    ['fingerprint', key.fingerprint],
    ['wrapped by', key.nek === undefined ? 'nothing: the private key is erased' : `NEK ${key.nek}`],
    ['nodes', nodesText(key, live)],
    ['record', key.record],
    ['published by', PUBLISHED_BY[key.publish]],
    ['DNS', key.dns === undefined ? dnsText(key) : seenText(key.dns)],
  ];
}

function seenText({ verdict, summary, node, at }: DnsView): string {
  return `${verdict === 'ok' ? 'ok' : summary}, as ${node} saw it ${formatTime(at)}`;
}

function servers({ dns }: KeyStatus): string {
  if (dns === undefined || dns.servers.length === 0) return '';
  return table(
    ['SERVER', 'VERDICT', ''],
    dns.servers.map((s) => [s.server, s.verdict, s.detail]),
  );
}

export type ExportOptions = CommonOptions & { value?: boolean; strings?: boolean; zone?: boolean };

export async function exportDns(domain: string, selector: string, options: ExportOptions): Promise<void> {
  const key = await withStore(options, (store) => store['key-show']({ domain, selector }));
  if (leavesNothing(key)) throw new SealpostError('never-signed', removalText(key));
  const record = recordOf(key);
  print(options, record, () => {
    if (options.value) return record.value;
    return options.strings ? record.strings.join('\n') : zoneText(record);
  });
}
