import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needsEngine } from '#test/kit/nodes/compose.ts';
import { ComposeHosts, DOMAIN } from '#test/kit/nodes/compose-hosts.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * cluster/hosts/compose.yaml on three hosts, as docs/install/several-machines.md has it: mail through each of them, a rotation over
 * all, and a host that is killed and comes back. What was answered with 250 must arrive.
 */
test('cluster/hosts/compose.yaml: mail, a rotation, and a host that dies', {
  ...needsEngine(),
  timeout: 15 * 60_000,
}, async (t) => {
  await using site = await ComposeHosts.create();
  const [first, second, third] = site.hosts;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  await t.test('up, and every node agrees', async () => {
    await site.start();
    const agreed = async (): Promise<boolean> =>
      /3 processes: all agree/.test(await first.sealpost('cluster', 'status'));
    await waitFor(agreed, { what: 'three nodes that agree', timeout: 90_000 });
    await first.sealpost('keys', 'create', DOMAIN, 's1');
    await waitFor(async () => / active .* 3\/3 /.test(await second.sealpost('keys', 'list')), {
      what: 'the key to sign everywhere',
      timeout: 60_000,
    });
  });

  const envelope = { from: `alice@${DOMAIN}`, to: 'somebody@dest.test' };
  const loads = site.hosts.map(
    ({ address }, i) =>
      new Load(`hosts-${i + 1}`, {
        ...{ host: address, port: 25, sessions: 3, rate: 15, sizes: [500, 4000, 60_000], patience: 30_000 },
        ...envelope,
      }),
  );
  const flowing = async (count: number, through = loads): Promise<void> => {
    const before = through.map((load) => load.accepted.size);
    await waitFor(() => through.every((load, i) => load.accepted.size >= (before[i] ?? 0) + count), {
      what: `${count} messages at ${through.length} hosts`,
      timeout: 60_000,
    });
  };
  await using sending = new AsyncDisposableStack();
  for (const load of loads) {
    load.start();
    sending.defer(() => load.stop());
  }
  await t.test('mail through every host', () => flowing(20));

  await t.test('a rotation while mail flows', async () => {
    await third.sealpost('keys', 'rotate', DOMAIN, '--selector', 's2');
    await waitFor(async () => / s2 .* active .* 3\/3 /.test(await first.sealpost('keys', 'list')), {
      what: 's2 to sign everywhere',
      timeout: 90_000,
    });
    await flowing(20);
  });

  await t.test('a host is killed, and comes back', async () => {
    await second.compose('kill');
    await flowing(
      30,
      loads.filter((_, i) => i !== 1),
    );
    await second.compose('up', '--detach');
    await flowing(20);
  });

  await Promise.all(loads.map((load) => load.stop()));
  await t.test('all that was accepted has arrived, signed', async (t) => {
    const missing = async (): Promise<string[]> => {
      const { arrivals } = await site.arrived();
      return loads.flatMap((load) => [...load.accepted].filter((id) => !arrivals.has(id)));
    };
    await first.sealpost('queue', 'retry', '--all', '--yes');
    await waitFor(async () => (await missing()).length === 0, { what: 'all mail', timeout: 120_000 });
    const refused = loads.map((load) => Object.fromEntries(load.refused));
    const { arrivals, signatures } = await site.arrived();
    // Two where both keys of the rotation sign.
    assert.ok(signatures.length > 0 && signatures.every(([fields]) => fields === 1 || fields === 2));
    t.diagnostic(`${arrivals.size} arrived, refused ${JSON.stringify(refused)}`);
    for (const load of loads) {
      for (const reply of load.refused.keys()) assert.match(reply, /^4/, 'nothing but "try again"');
    }
  });

  await t.test('the logs of NATS tell of no connection that was given up', async () => {
    const logs = await first.compose('logs', '--no-color', 'nats');
    assert.match(logs, /Server is ready/);
    assert.doesNotMatch(logs, /client.*TLS handshake error/i);
  });
});
