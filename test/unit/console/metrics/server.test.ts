import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { MetricsServer } from '#services/console/metrics/server.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Where a process serves what it counts. */

test('a port that another program has at a change is opened when that ends', { timeout: 30_000 }, async () => {
  const node = { name: 'edge-1', hostname: 'mx.example.com' };
  const settings = new Settings(ConfigSchema.parse({ node }));
  const { log, lines } = logLines();
  const server = await MetricsServer.start({ bus: new LocalBus('edge-1'), settings }, [], log);
  assert.equal(server.port, undefined);
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  settings.replace(ConfigSchema.parse({ node, metrics: { port } }));
  const failures = () => lines().filter(({ msg }) => msg === 'metrics not served').length;
  await waitFor(() => failures() > 0, { what: 'the failure' });
  other.close();
  await once(other, 'close');
  await waitFor(() => server.port === port, { what: 'the port' });
  assert.equal((await fetch(`http://127.0.0.1:${port}/metrics`)).status, 200);
  assert.equal(failures(), 1);
  settings.replace(ConfigSchema.parse({ node }));
  await waitFor(() => server.port === undefined, { what: 'the end' });
});
