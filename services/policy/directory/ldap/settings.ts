import { LDAP_PRESETS, type LdapSchema } from '#cluster/config/ldap.ts';
import type { LdapConfig } from '#cluster/config/schema/schema.ts';
import type { LdapServer } from './connection.ts';
import type { ServersOptions } from './servers.ts';

/** `directory.ldap` as the rest of this folder takes it. */

export function serversOf(config: LdapConfig): ServersOptions {
  const { urls, connections, password, 'bind-dn': dn } = config;
  return {
    servers: urls.map((url) => serverOf(url, config)),
    connections,
    bind: dn === undefined || password === undefined ? undefined : { dn, password: password.reveal() },
  };
}

/** The preset, with what the configuration puts in place of its parts. */
export function schemaOf({ preset, filters, attributes, referrals }: LdapConfig): LdapSchema {
  const base = LDAP_PRESETS[preset];
  return {
    filters: { address: filters.address ?? base.filters.address, login: filters.login ?? base.filters.login },
    attributes: {
      addresses: attributes.addresses ?? base.attributes.addresses,
      login: attributes.login ?? base.attributes.login,
      targets: attributes.targets ?? base.attributes.targets,
      members: attributes.members ?? base.attributes.members,
    },
    referrals: referrals ?? base.referrals,
  };
}

function serverOf(url: string, { starttls, ca }: LdapConfig): LdapServer {
  const { protocol, hostname, port } = new URL(url);
  const isSecure = protocol === 'ldaps:';
  return {
    url,
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (isSecure ? 636 : 389) : Number(port),
    tls: isSecure ? 'start' : starttls ? 'starttls' : 'off',
    ...(ca === undefined ? {} : { ca }),
  };
}
