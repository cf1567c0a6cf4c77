import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { client, serve } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { parseConfig } from '#cluster/config/load.ts';
import { Settings } from '#cluster/config/settings.ts';
import { policyContract } from '#services/policy/contract.ts';
import { createPolicyService } from '#services/policy/service.ts';
import type { Service } from '#shared/contract.ts';
import { silentLogger } from '#shared/log.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { config, USERS } from '#test/unit/policy/fixtures.ts';
import { CLIENTS, GROUPS, SCENARIOS, type Scenario, sessionOf } from './relay-table.ts';

/** Each cell of the table, asked of the policy service. */

let folder: TempDir;
let service: Service<typeof policyContract>;
const settings = new Settings(config());
const bus = new LocalBus('edge-1');
const policy = client(bus, policyContract);

before(async () => {
  folder = await tempDir('relay');
  const users = join(folder.path, 'users.yaml');
  await writeFile(users, USERS);
  settings.replace(config({ directory: { users } }));
  service = createPolicyService({ settings, log: silentLogger });
  await service.start();
  serve(bus, service, silentLogger);
});

after(async () => {
  await bus.drain();
  await service.stop();
  await folder[Symbol.asyncDispose]();
});

/** Put the relay rules of a scenario in force. */
async function use({ relay }: Scenario): Promise<void> {
  const input = { listeners: [], groups: GROUPS, relay };
  const loaded = await parseConfig(JSON.stringify(input), '/', { files: false });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const domains = config({ domains: [{ name: 'example.com', local: true }] }).domains;
  settings.replace({ ...settings.current, domains, relay: loaded.config.relay });
}

test('the table has enough rows, of each kind', () => {
  const cells = SCENARIOS.flatMap((scenario) => scenario.cells);
  assert.ok(cells.length >= 200, `${cells.length} rows`);
  for (const name of Object.keys(CLIENTS))
    assert.ok(
      cells.some((cell) => cell.client === name),
      name,
    );
});

let inForce: Scenario | undefined;

for (const scenario of SCENARIOS) {
  for (const { client: name, to, expected } of scenario.cells) {
    test(`${scenario.title}; ${name} to ${to}: ${expected}`, async () => {
      if (inForce !== scenario) await use(scenario);
      inForce = scenario;
      const who = CLIENTS[name];
      assert.ok(who, `there is no client ${name}`);
      const request = { facts: sessionOf(who), reversePath: '', recipient: { address: to } };
      const verdict = await policy['recipient-check'](request);
      const reply = verdict.action === 'accept' ? { code: 250, enhanced: '2.1.5' } : verdict.reply;
      const code = expected.includes('/') ? `${reply.code}/${reply.enhanced}` : String(reply.code);
      assert.equal(code, expected, verdict.why.join('\n'));
      if (expected.startsWith('554')) assert.match(verdict.why.at(-1) ?? '', /relay refused$/);
    });
  }
}
