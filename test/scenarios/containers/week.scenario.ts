import assert from 'node:assert/strict';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { lacksCommit } from '#test/kit/containers/history.ts';
import { BY_HAND, BY_UPDATE, ComposeWeek, NAME_SERVER } from '#test/kit/containers/week.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { docker, needsEngine } from '#test/kit/nodes/compose.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { longestPause } from '#test/kit/smtp/longest-pause.ts';
import { VERIFIER } from '#test/kit/smtp/verifying-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * A week of somebody who runs compose.yaml, with mail flowing all the time and every command out of the documents. What
 * was answered with 250 arrives, and dkimpy verifies each signature as it does, with the keys that BIND publishes at that
 * moment. Mail comes through the listeners in turn, as through a load balancer.
 *
 * It is long because it is one story: each step goes on where the one before left the cluster and its mail.
 */

/** The version that the week begins with, or what UPGRADE_FROM names. */
const FORMER = process.env['UPGRADE_FROM'] ?? '0a303236';
const COMPOSE = 'docs/install/compose.md';
const KEYS = 'docs/operate/keys.md';
const BACKUP = 'docs/operate/backup.md';
const QUEUE = 'docs/operate/queue.md';

const RESTORE =
  'docker-compose run --rm -v "$PWD:/backup:ro" backup restore /backup/sealpost.age --identity /backup/backup-key.txt';

/** As the configuration of the user has it. */
const DOMAIN = `- { name: ${BY_HAND}, signing: { mode: enforce } }`;
const PASSWORD = 'a-password-of-hers';

/** Without a 250, but for what is planned. */
const MOST_MS = 10_000;
const SERVICES = [
  ...['listener', 'extra-listener', 'policy', 'signer', 'router-1', 'router-2'],
  ...['credential-store-1', 'credential-store-2', 'resolver'],
];

const WITHOUT_ROUTER_2 = [...SERVICES.filter((name) => name !== 'router-2'), 'router-3'];

const { skip } = needsEngine('swaks', 'age-keygen', ...VERIFIER);

test("a compose user's week: nothing is lost, unsigned or long without a 250", {
  skip: skip === false ? lacksCommit(FORMER) : skip,
  timeout: 30 * 60_000,
}, async (t) => {
  await using week = await ComposeWeek.create(FORMER);
  const { project, sink } = week;
  await using sending = new AsyncDisposableStack();
  const loads: Load[] = [];
  const entry = {
    accepted: {
      get size() {
        return loads.reduce((sum, { accepted }) => sum + accepted.size, 0);
      },
    },
  };
  const pauses: number[] = [];

  /** Mail of a domain, through all listeners. */
  const send = (domain: string): void => {
    const load = new Load(`week-${loads.length + 1}-${domain}`, {
      ...{ port: project.ports.get(2525) ?? [], sessions: 3, perSession: 20, rate: 5, sizes: [500, 4000, 60_000] },
      ...{ patience: 30_000, from: `alice@${domain}`, to: 'somebody@dest.test' },
    });
    loads.push(load);
    load.start();
    sending.use(load);
  };
  /** Some more mail is accepted and arrives. */
  const flowing = async (): Promise<void> => {
    const [accepted, arrived] = [entry.accepted.size, sink.messages];
    await waitFor(() => entry.accepted.size > accepted + 20 && sink.messages > arrived + 20, {
      what: 'mail to flow',
      timeout: 60_000,
    }).catch(async (cause: unknown) => {
      const refused = loads.map((load) => JSON.stringify([...load.refused])).join(' ');
      const counts = `${entry.accepted.size - accepted} accepted, ${sink.messages - arrived} arrived, ever refused ${refused}`;
      throw new Error(`${counts}\n${await week.follow(QUEUE, 'sealpost queue summary')}`, { cause });
    });
  };
  /** A step that fails ends the week. */
  const step = async (name: string, work: () => Promise<unknown>, planned = false): Promise<void> => {
    let failure: unknown;
    const flows = loads.length > 0;
    await t.test(name, async (t) => {
      try {
        const done = work();
        const pause = await longestPause(entry, done);
        if (flows && !planned) pauses.push(pause);
        if (flows)
          t.diagnostic(`longest time without a 250: ${(pause / 1000).toFixed(1)} s${planned ? ', planned' : ''}`);
        await done;
      } catch (error) {
        failure = error;
        throw error;
      }
    });
    if (failure !== undefined) throw failure;
  };
  const becomes = (domain: string, selector: string, state: string): Promise<void> =>
    week.see(new RegExp(`${domain} +${selector} +${state}\\b`), KEYS, 'sealpost keys list');

  await step('up, with a configuration and two listeners', async () => {
    await week.follow(COMPOSE, 'mkdir -p own');
    await week.configure();
    await week.follow(COMPOSE, "echo 'SEALPOST_CONFIG=./own'");
    await week.follow(COMPOSE, 'docker-compose up -d --scale');
    await project.healthy(SERVICES);
    await week.follow(COMPOSE, 'config check operator');
  });

  await step('a key whose record is published by hand', async () => {
    await week.follow(KEYS, 'keys create example.com s2026');
    await week.publish(await week.follow(KEYS, 'keys export-dns example.com s2026 --zone'));
    await becomes(BY_HAND, 's2026', 'active');
    send(BY_HAND);
    await flowing();
  });

  await step('the upgrade from the version before', async () => {
    await week.follow(COMPOSE, 'printf');
    await week.checkOutThisVersion();
    await week.follow(COMPOSE, 'cluster/compose/upgrade.sh');
    await flowing();
    await week.follow(COMPOSE, 'operator cluster status');
  });

  await step('a certificate of its own, and another one in its place', async () => {
    const authority = await createAuthority();
    for (const _ of [1, 2]) {
      const { certificate, key } = await authority.issue({ names: ['mx.example.com'] });
      await week.write('tls/fullchain.pem', `${certificate}\n${authority.ca}`);
      await week.write('tls/key.pem', key);
      await week.follow(COMPOSE, 'certificates import mx');
      const { fingerprint256 } = new X509Certificate(certificate);
      await waitFor(async () => (await week.presented()).every((shown) => shown === fingerprint256), {
        what: 'every listener to present it',
      });
    }
    await week.follow(COMPOSE, 'certificates list');
  });

  await step('a key whose record is published by update, signed with TSIG', async () => {
    await week.follow(COMPOSE, 'cat > /cluster/credential-store/tsig');
    await week.edit(DOMAIN, `${DOMAIN}\n  ${DOMAIN.replace(BY_HAND, BY_UPDATE)}`);
    const section = parse(week.yaml(COMPOSE, 'secret: { file: /run/sealpost/tsig }')) as { dns: { zones: unknown } };
    const { zones } = section.dns;
    await week.edit(
      'dnssec: true }',
      `dnssec: true, zones: ${JSON.stringify(zones).replace('192.0.2.53', NAME_SERVER)} }`,
    );
    await week.follow(COMPOSE, 'config check credential-store');
    await week.follow(KEYS, 'keys create example.com s2026', { 'example.com': BY_UPDATE });
    await becomes(BY_UPDATE, 's2026', 'active');
    send(BY_UPDATE);
    await flowing();
  });

  await step('a user', async () => {
    const own = { 'sealpost.test': BY_HAND };
    await using adding = week.start(COMPOSE, 'operator users add alice', own, '--password-stdin', PASSWORD);
    assert.equal(await adding.ended(), 0, adding.output);
    await week.submit('alice', PASSWORD, 'by-alice-1');
  });

  await step('the private key, where its NEK is', async () => {
    await week.follow(COMPOSE, 'keys export sealpost.test s1', { 'sealpost.test': BY_HAND, s1: 's2026' });
    const pem = await readFile(join(week.clone, 's2026.pem'), 'utf8');
    const own = createPublicKey(pem).export({ type: 'spki', format: 'der' }).toString('base64');
    const record = await week.follow(KEYS, 'keys export-dns example.com s2026 --zone');
    assert.ok(record.replace(/" "/g, '').includes(`p=${own}`), 'the key of the record');
  });

  await step('more listeners and signers', async () => {
    await week.follow(COMPOSE, 'printf', { 'SIGNERS=2': 'SIGNERS=3' });
    await week.follow(COMPOSE, 'docker-compose up -d');
    assert.equal((await project.containers('signer')).length, 3);
    assert.equal((await project.containers('extra-listener')).length, 2);
    await project.healthy(['signer', 'extra-listener']);
    await flowing();
  });

  await step('a key that has leaked', async () => {
    await week.follow(KEYS, 'keys create example.com s2027');
    await week.publish(await week.follow(KEYS, 'keys export-dns example.com s2026 --zone', { s2026: 's2027' }));
    await week.see(/proven/, KEYS, 'keys show example.com s2027');
    await week.follow(KEYS, 'keys activate example.com s2027');
    await week.follow(KEYS, 'keys revoke example.com s2026 --yes');
    const record = await week.follow(KEYS, 'keys export-dns example.com s2026 --zone');
    assert.match(record, /p=(?![A-Za-z0-9+/])/);
    await week.publish(record);
    await becomes(BY_HAND, 's2027', 'active');
    await flowing();
  });

  await step('a rotation whose driver is killed in the middle', async () => {
    // Nothing holds it up.
    await week.follow(KEYS, 'keys rotate example.com --watch', { 'example.com': BY_UPDATE });
    await using rotation = week.start(KEYS, 'keys rotate example.com --watch', {}, '--json');
    // This one waits for a record that is published by hand.
    const [, driver = ''] = await rotation.waitForOutput(/"driver":"([^"]+)"/, 60_000);
    const [, selector = ''] = await rotation.waitForOutput(/"to":\[{"selector":"([^"]+)"/);
    const record = await week.follow(KEYS, 'keys export-dns example.com s2026 --zone', { s2026: selector });
    const [container = ''] = await project.containers(driver);
    await docker('kill', container);
    await week.publish(record);
    assert.equal(await rotation.ended(), 0, rotation.output);
    await becomes(BY_HAND, selector, 'active');
    await becomes(BY_HAND, 's2027', 'retiring');
    await week.follow(COMPOSE, 'docker-compose up -d');
    await project.healthy(SERVICES);
    await flowing();
  });

  await step('a router more, and one fewer', async () => {
    const added = parse(week.yaml(COMPOSE, 'hostname: router-3')) as { services: object };
    await week.write('routers.yaml', stringify(added));
    await week.follow(COMPOSE, 'COMPOSE_FILE=compose.yaml:routers.yaml', {
      'compose.yaml:': 'compose.yaml:world.yaml:',
    });
    await week.follow(COMPOSE, 'docker-compose up -d');
    await project.healthy(['router-3']);
    await week.see(/router-3 .* up/, COMPOSE, 'operator cluster status');
    await week.follow(COMPOSE, 'docker update --restart no');
    await week.follow(COMPOSE, 'cluster drain router-2');
    const without = parse(week.yaml(COMPOSE, 'router-2: { scale: 0 }')) as { services: object };
    await week.write('routers.yaml', stringify({ ...added, services: { ...added.services, ...without.services } }));
    await week.follow(COMPOSE, 'docker-compose up -d');
    await week.follow(COMPOSE, 'cluster forget router-2');
    assert.deepEqual(await project.containers('router-2'), []);
    await flowing();
  });

  for (const node of ['credential-store-2', 'router-1']) {
    await step(`the volume of ${node} is lost`, async () => {
      await week.follow(COMPOSE, 'docker-compose rm -s -f', { 'credential-store-2': node });
      const name = { sealpost_: `${project.name}_`, 'credential-store-2': node };
      await week.follow(COMPOSE, 'docker volume rm', name);
      await week.follow(COMPOSE, 'docker-compose up -d');
      await project.healthy([node]);
      await flowing();
    });
  }

  const settled = async (): Promise<void> => {
    const missing = (): string[] =>
      loads.flatMap(({ accepted }) => [...accepted].filter((id) => !sink.arrivals.has(id)));
    await week.follow(QUEUE, 'queue retry --all --yes');
    await waitFor(() => missing().length === 0, { what: 'all mail', timeout: 120_000 }).catch(() => undefined);
    assert.deepEqual(missing(), [], 'accepted mail that did not arrive');
  };
  /** No mail arrives, some is accepted all the same, and then no more is sent. */
  const queueAndStop = async (): Promise<void> => {
    sink.defers = true;
    const accepted = entry.accepted.size;
    await waitFor(() => entry.accepted.size > accepted + 20, { what: 'mail in the queue', timeout: 60_000 });
    await Promise.all(loads.map((load) => load.stop()));
  };
  const takeAgain = async (): Promise<void> => {
    sink.defers = false;
    await settled();
    send(BY_HAND);
    send(BY_UPDATE);
    await flowing();
  };

  await step(
    'a backup, the end of everything, and a restoration',
    async () => {
      await week.follow(BACKUP, 'age-keygen');
      const keyFile = join(week.clone, 'backup-key.txt');
      await chmod(keyFile, 0o644);
      const [key = ''] = /age1\w+/.exec(await readFile(keyFile, 'utf8')) ?? [];
      await queueAndStop();
      await week.follow(BACKUP, 'backup backup - --recipient', { 'age1…': key });
      await week.follow(COMPOSE, 'docker-compose down -v');
      await week.follow(BACKUP, RESTORE);
      await week.follow(COMPOSE, 'docker-compose up -d');
      for (const router of ['router-1', 'router-3']) {
        const own = { 'router-1': router };
        await project.healthy(['router-1', 'router-3']);
        await week.follow(BACKUP, 'docker-compose stop router-1', own);
        await week.follow(BACKUP, 'STORE=router-1', own);
        await week.follow(BACKUP, 'docker-compose start router-1', own);
      }
      await project.healthy(WITHOUT_ROUTER_2);
      await becomes(BY_HAND, 's2027', 'retiring');
      await week.follow(QUEUE, 'queue release --all --yes');
      await takeAgain();
      await week.submit('alice', PASSWORD, 'by-alice-2');
    },
    true,
  );

  await step(
    'down, and up',
    async () => {
      await queueAndStop();
      await week.follow(COMPOSE, 'docker-compose down');
      await week.follow(COMPOSE, 'docker-compose up -d');
      await project.healthy(WITHOUT_ROUTER_2);
      await takeAgain();
      await week.submit('alice', PASSWORD, 'by-alice-3');
    },
    true,
  );

  await Promise.all(loads.map((load) => load.stop()));
  await step('what was accepted has arrived once at least, each signature verified', async () => {
    await settled();
    assert.deepEqual(sink.bad, [], 'unsigned, or with a signature that does not verify');
    for (const load of loads) {
      for (const reply of load.refused.keys()) assert.match(reply, /^4/, 'nothing but "try again"');
    }
    const duplicates = [...sink.arrivals.values()].reduce((sum, times) => sum + times - 1, 0);
    t.diagnostic(`${sink.messages} arrived, ${duplicates} duplicates, signed by ${[...sink.passed].join(' ')}`);
    const longest = Math.max(...pauses);
    assert.ok(longest <= MOST_MS, `${Math.round(longest)} ms without a 250`);
  });
});
