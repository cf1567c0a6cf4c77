import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createAuthority, issueCertificate } from '#cluster/certificate.ts';
import { type BusUser, permissionsOf } from '#services/console/cli/cluster/bus-permissions.ts';
import { generateNek } from '#shared/dkim/nek.ts';

/**
 * The folder that `sealpost cluster init --nodes` made when it had one authority for everything: the certificate of the
 * listeners, which faces the world, could join the routes.
 */
export async function writeFormerCluster(folder: string, nats: readonly string[], listener: string): Promise<void> {
  const authority = await createAuthority('Sealpost cluster authority', 365);
  const issue = (names: { dns: string[]; ip: string[] }) =>
    issueCertificate(authority, names, { role: 'peer', days: 365 });
  const server = await issue({ dns: [], ip: [...nats] });
  const outside = await issue({ dns: [listener], ip: [] });
  const passwords = new Map<BusUser, string>();
  for (const user of ['node', 'operator'] as const) passwords.set(user, randomBytes(32).toString('base64url'));
  const files: Record<string, string> = {
    'authority/authority.pem': authority.certificate,
    'authority/authority-key.pem': authority.key,
    'nats/server.pem': server.certificate,
    'nats/server-key.pem': server.key,
    'nats/ca.pem': authority.certificate,
    'nats/nats.conf': serverConfig(nats),
    'nats/users.conf': users(passwords),
    'nek/nek.key': generateNek('cluster'),
    'node/certificate.pem': outside.certificate,
    'node/certificate-key.pem': outside.key,
    'node/users.yaml': 'users: []\n',
  };
  for (const [user, password] of passwords) {
    files[`${user}/ca.pem`] = authority.certificate;
    files[`${user}/bus-password`] = `${password}\n`;
  }
  for (const [name, text] of Object.entries(files)) {
    const file = join(folder, name);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, text, { mode: 0o600 });
  }
}

/** It listened for routes everywhere; for servers on one machine the address is one of each. */
export const FORMER_ROUTE_ADDRESS = '0.0.0.0:6222';

function serverConfig(hosts: readonly string[]): string {
  return `listen: "0.0.0.0:4222"
jetstream: enabled
tls { cert_file: "server.pem", key_file: "server-key.pem" }
cluster {
  name: "sealpost"
  listen: "${FORMER_ROUTE_ADDRESS}"
  routes: [${hosts.map((host) => `"nats://${host}:6222"`).join(', ')}]
  tls { cert_file: "server.pem", key_file: "server-key.pem", ca_file: "ca.pem", verify: true }
}
include "users.conf"
`;
}

function users(passwords: ReadonlyMap<BusUser, string>): string {
  const blocks = [...passwords].map(([user, password]) => {
    const { publish, subscribe } = permissionsOf(user, { upgrading: true });
    const permissions = `publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)}`;
    return `{ user: ${user}, password: "${password}", permissions: { ${permissions} } }`;
  });
  return `authorization { users: [\n${blocks.join('\n')}\n] }\n`;
}
