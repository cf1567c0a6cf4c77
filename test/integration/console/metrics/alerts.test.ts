import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Every alert fires on what it is for, and is silent on a node that is well: judged by Prometheus' own `promtool`. */

const RULES = fileURLToPath(new URL('../../../../cluster/monitoring/alerts.yaml', import.meta.url));
type Rule = { alert: string; labels: Record<string, string>; annotations: Record<string, string> };

const NODE = 'node="edge-1", instance="i", job="sealpost"';
/** Of a node that is well: each series with its values, one a minute. */
const WELL: Record<string, string> = {
  [`up{${NODE}}`]: '1x60',
  [`sealpost_cluster_processes{${NODE}, state="up"}`]: '3x60',
  [`sealpost_cluster_processes{${NODE}, state="stopped"}`]: '1x60',
  [`sealpost_service_up{${NODE}, service="router"}`]: '1x60',
  [`sealpost_bus_connected{${NODE}}`]: '1x60',
  [`sealpost_queue_refusing{${NODE}}`]: '0x60',
  [`sealpost_damaged{${NODE}, what="messages"}`]: '0x60',
  [`sealpost_signing_total{${NODE}, outcome="signed"}`]: '0+60x60',
  [`sealpost_signing_total{${NODE}, outcome="hold"}`]: '3x60',
  [`sealpost_key_problem{${NODE}, domain="example.com", selector="s1"}`]: '1x60',
  [`sealpost_certificate_expires_seconds{${NODE}, name="mx"}`]: '5000000x60',
  [`sealpost_queue_messages{${NODE}, state="deferred"}`]: '5000x60',
  [`sealpost_queue_messages{${NODE}, state="hold"}`]: '0x60',
  [`sealpost_queue_copies{${NODE}, state="missing"}`]: '0x60',
  [`sealpost_destinations_without_tls{${NODE}}`]: '0x60',
  [`sealpost_config_refused{${NODE}}`]: '0x60',
  [`sealpost_webhook_failing{${NODE}, service="router", webhook="ops"}`]: '0x60',
  [`sealpost_webhook_dropped_events_total{${NODE}, webhook="ops", reason="age"}`]: '5x60',
  [`sealpost_recipients_total{${NODE}, outcome="delivered"}`]: '0+600x60',
  [`sealpost_recipients_total{${NODE}, outcome="failed"}`]: '0+6x60',
};

/** What has to change for each alert. The certificate ends at second 5,000,000 after the first one of the test. */
const CASES: Record<string, [series: string, values: string]> = {
  SealpostProcessDown: [`up{${NODE}}`, '1x10 0x60'],
  SealpostProcessGone: [`sealpost_cluster_processes{${NODE}, state="gone"}`, '0x10 1x60'],
  SealpostServiceDown: [`sealpost_service_up{${NODE}, service="router"}`, '1x10 0x60'],
  SealpostBusAway: [`sealpost_bus_connected{${NODE}}`, '1x10 0x60'],
  SealpostQueueRefuses: [`sealpost_queue_refusing{${NODE}}`, '0x10 1x60'],
  SealpostDamage: [`sealpost_damaged{${NODE}, what="messages"}`, '0x10 2x60'],
  SealpostMailNotSigned: [`sealpost_signing_total{${NODE}, outcome="hold"}`, '3+1x60'],
  SealpostKeyNeedsHand: [`sealpost_key_problem{${NODE}, domain="example.com", selector="s1"}`, '1x10 2x60'],
  SealpostCertificateEnds: [`sealpost_certificate_expires_seconds{${NODE}, name="mx"}`, '500000x60'],
  SealpostMailWaits: [`sealpost_queue_messages{${NODE}, state="deferred"}`, '5000+50x60'],
  SealpostMailHeld: [`sealpost_queue_messages{${NODE}, state="hold"}`, '0 4x120'],
  SealpostCopiesMissing: [`sealpost_queue_copies{${NODE}, state="missing"}`, '0x10 7x60'],
  SealpostTlsLost: [`sealpost_destinations_without_tls{${NODE}}`, '0x10 1x60'],
  SealpostWebhookFails: [`sealpost_webhook_failing{${NODE}, service="router", webhook="ops"}`, '0 1x120'],
  SealpostWebhookDrops: [`sealpost_webhook_dropped_events_total{${NODE}, webhook="ops", reason="age"}`, '5x10 9x60'],
  SealpostConfigRefused: [`sealpost_config_refused{${NODE}}`, '0x10 1x60'],
  SealpostDeliveriesFail: [`sealpost_recipients_total{${NODE}, outcome="failed"}`, '0+300x60'],
};

async function rules(): Promise<Rule[]> {
  const { groups } = parse(await readFile(RULES, 'utf8')) as { groups: { rules: Rule[] }[] };
  return groups.flatMap((group) => group.rules);
}

test('every alert has a case, a severity and words', async () => {
  const all = await rules();
  assert.deepEqual(all.map(({ alert }) => alert).sort(), Object.keys(CASES).sort());
  for (const { alert, labels, annotations } of all) {
    assert.match(labels['severity'] ?? '', /^(critical|warning)$/, alert);
    assert.match(annotations['summary'] ?? '', /\w/, alert);
    assert.match(annotations['description'] ?? '', /\.$/, alert);
  }
});

test('alerts fire on what they are for, and on nothing else', { ...needs('promtool'), timeout: 60_000 }, async () => {
  await using temp = await tempDir('alerts');
  await copyFile(RULES, join(temp.path, 'alerts.yaml'));
  const file = join(temp.path, 'cases.yaml');
  const judge = async (changed: Record<string, string>, alert: string): Promise<string> => {
    const series = Object.entries({ ...WELL, ...changed }).map(([name, values]) => ({ series: name, values }));
    // A case that expects nothing: promtool prints what fires.
    const alert_rule_test = [{ eval_time: '62m', alertname: alert, exp_alerts: [] }];
    const tests = [{ interval: '1m', input_series: series, alert_rule_test }];
    await writeFile(file, stringify({ rule_files: ['alerts.yaml'], evaluation_interval: '1m', tests }));
    return promisify(execFile)(locate('promtool') ?? 'promtool', ['test', 'rules', file]).then(
      () => 'silent',
      (error: { stdout: string; stderr: string }) => error.stderr + error.stdout,
    );
  };
  const all = Object.entries(CASES);
  for (const [alert, [series, values]] of all) {
    assert.equal(await judge({}, alert), 'silent', `${alert} on a node that is well`);
    assert.match(await judge({ [series]: values }, alert), new RegExp(`got:[^]*alertname="${alert}"`), alert);
  }
  for (const other of Object.keys(CASES).filter((name) => name !== 'SealpostMailHeld')) {
    assert.equal(await judge(Object.fromEntries([CASES['SealpostMailHeld'] ?? ['', '']]), other), 'silent', other);
  }
});
