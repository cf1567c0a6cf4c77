import { parseArgs } from 'node:util';
import { Store } from '#cluster/store.ts';
import { authenticationPage } from '#services/router/operators/authentication.ts';
import { STORE_OPTIONS } from '#services/router/store/open.ts';
import { keys, putJson } from '#services/router/store/records.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { tempDir } from '#test/kit/temp.ts';
import { OK, ORIGIN } from '#test/unit/router/fixture.ts';

/**
 * How long it takes to add up the authentication results of a week.
 *
 *   node test/bench/authentication.ts [--receipts 100000]
 */

const { values } = parseArgs({ options: { receipts: { type: 'string', default: '100000' } } });
const count = Number(values.receipts);
const WEEK_MS = 7 * 86_400_000;

await using folder = await tempDir('sealpost-bench');
const store = await Store.open(folder.path, silentLogger, STORE_OPTIONS);
const start = Date.now() - WEEK_MS;

function receiptOf(n: number) {
  const at = start + Math.floor((n / count) * WEEK_MS);
  const domain = `peer${n % 997}.example`;
  const authenticity: Authenticity = {
    spf: { result: 'pass', scope: 'mfrom', domain },
    dkim: [{ result: 'pass', domain, selector: 's1', identity: `@${domain}`, algorithm: 'rsa-sha256', aligned: true }],
    arc: { result: 'none', sets: 0 },
    dmarc: { result: 'pass', from: domain, dkimAligned: true, spfAligned: true, disposition: 'none' },
  };
  const status = { state: 'delivered' as const, outcome: { at, host: 'mx.here.example [192.0.2.1]', reply: OK } };
  const origin = { ...ORIGIN, client: { ...ORIGIN.client, address: `192.0.2.${n % 250}` } };
  return putJson(keys.receipt(newQueueId(at)), {
    ...{ reversePath: `a@${domain}`, origin, trace: 'TRACE', arrived: at, finished: at, size: 2000, authenticity },
    recipients: [{ recipient: { address: `user${n % 997}@here.example` }, status, nextHop: 'smtp:inner' }],
  });
}

for (let n = 0; n < count; n += 1000) {
  await store.write(Array.from({ length: Math.min(1000, count - n) }, (_, i) => receiptOf(n + i)));
}
for (const domains of [undefined, ['here.example'], ['peer7.example']]) {
  const began = performance.now();
  let [pages, messages, longest] = [0, 0, 0];
  for (let below: string | undefined; ; ) {
    const started = performance.now();
    const page = await authenticationPage({ store, log: silentLogger }, { since: start, domains, below });
    longest = Math.max(longest, performance.now() - started);
    pages++;
    messages += page.totals.reduce((sum, total) => sum + total.messages, 0);
    if (page.next === undefined) break;
    below = page.next;
  }
  const took = (performance.now() - began).toFixed(0);
  process.stdout.write(
    `${domains ?? 'all domains'}: ${messages} in ${pages} pages, ${took} ms, longest page ${longest.toFixed(0)} ms\n`,
  );
}
await store.close();
