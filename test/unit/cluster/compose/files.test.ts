import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { DocumentedCommands } from '#test/kit/docs/commands.ts';

/** What must be true of each compose file, and of the examples of `.env` beside them. */

const ROOT = resolve(import.meta.dirname, '../../../..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const FILES = ['compose.yaml', 'cluster/hosts/compose.yaml', ...globSync('cluster/compose/*.yaml', { cwd: ROOT })];

type Service = {
  image?: string;
  logging?: unknown;
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  restart?: string;
  networks?: string[] | Record<string, { ipv4_address?: string }>;
  volumes?: string[];
  secrets?: string[];
};
type Network = { ipam?: { config: { subnet: string; ip_range?: string }[] } };

const parsed = (file: string) =>
  parse(read(file), { merge: true }) as { services?: Record<string, Service>; networks?: Record<string, Network> };

for (const file of FILES) {
  const { services = {} } = parsed(file);
  for (const [name, service] of Object.entries(services)) {
    // Others are changes of a service that another file describes.
    if (service.image === undefined) continue;
    test(`${name} of ${file} has bounded logs, no capability and no file system to write`, () => {
      const { logging, read_only, cap_drop, security_opt, restart } = service;
      assert.deepEqual(logging, { driver: 'local', options: { 'max-size': '20m', 'max-file': '5' } });
      assert.deepEqual([read_only, cap_drop, security_opt], [true, ['ALL'], ['no-new-privileges:true']]);
      assert.ok(restart !== undefined, 'whether the engine starts it again');
    });
  }
}

for (const file of FILES) {
  const { services = {}, networks = {} } = parsed(file);
  const fixed = Object.entries(services).flatMap(([name, service]) =>
    Object.entries(service.networks ?? {}).flatMap(([network, { ipv4_address }]) =>
      ipv4_address === undefined ? [] : [{ name, network }],
    ),
  );
  for (const { name, network } of fixed) {
    test(`the address of ${name} in ${file} is given to no container that starts before it`, () => {
      assert.ok(networks[network]?.ipam?.config[0]?.ip_range !== undefined);
    });
  }
}

/** Docker secrets, by the volume in compose.yaml whose files they take the place of. */
const SECRETS = [
  { volume: /^nek:\/run\/sealpost-nek(?::ro)?$/, secrets: ['nek'] },
  { volume: /^listener-secrets:\/run\/sealpost(?::ro)?$/, secrets: ['certificate', 'certificate-key'] },
];

for (const { volume, secrets } of SECRETS) {
  test(`secrets.yaml has ${secrets.join(' and ')} for every service that reads what it takes the place of`, () => {
    const { services = {} } = parsed('compose.yaml');
    const readers = Object.keys(services).filter((name) => services[name]?.volumes?.some((one) => volume.test(one)));
    const overlay = parsed('cluster/compose/secrets.yaml').services ?? {};
    const given = Object.keys(overlay).filter((name) => secrets.every((one) => overlay[name]?.secrets?.includes(one)));
    assert.deepEqual(given.toSorted(), readers.toSorted());
  });
}

test('the router that docs/install/compose.md adds is as the one of compose.yaml', async () => {
  const documents = await DocumentedCommands.read();
  const block = documents.yaml('docs/install/compose.md', 'hostname: router-3');
  const { services, volumes } = parse(block) as { services: Record<string, unknown>; volumes: object };
  const { 'router-2': second } = parsed('compose.yaml').services ?? {};
  const third = JSON.parse(JSON.stringify(second).replaceAll('router-2', 'router-3')) as unknown;
  assert.deepEqual(services, { 'router-3': third });
  assert.deepEqual(volumes, { 'router-3': null });
});

/** Variables that compose itself reads. */
const OF_COMPOSE = ['COMPOSE_FILE'];

for (const [example, files] of [
  ['.env.example', FILES.filter((file) => !file.startsWith('cluster/hosts'))],
  ['cluster/hosts/.env.example', ['cluster/hosts/compose.yaml', 'cluster/compose/ipv6.yaml']],
] as const) {
  test(`${example} has every variable of ${files.length} files, with its default, and no other`, () => {
    const used = new Map<string, { default: string | undefined }>();
    for (const [, name = '', form, text] of files.flatMap((file) => [
      ...read(file).matchAll(/\$\{(\w+)(:?[-?])?([^}]*)\}/g),
    ])) {
      if (form !== undefined) used.set(name, { default: form.endsWith('-') ? text : undefined });
    }
    const lines = [...read(example).matchAll(/^(#?)([A-Z0-9_]+)=(.*)$/gm)];
    const shown = lines.filter(([, , name = '']) => !OF_COMPOSE.includes(name));
    assert.deepEqual(shown.map(([, , name]) => name).toSorted(), [...used.keys()].toSorted());
    for (const [, mark, name = '', text] of shown) {
      const { default: wanted } = used.get(name) ?? {};
      // One without a default has an example of what must be said.
      assert.deepEqual([mark, wanted ?? text], wanted === undefined ? ['', text] : ['#', text], name);
    }
  });
}
