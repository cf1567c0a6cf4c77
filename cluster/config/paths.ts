import { resolve } from 'node:path';
import type { Secret } from '#shared/secret.ts';
import type { RouteOauth } from './schema/oauth.ts';
import { parseVia, type RouteHop } from './schema/route.ts';
import type { Config, ConsoleConfig, LdapConfig, ListenerConfig, RouteConfig } from './schema/schema.ts';
import type { WebhookConfig } from './schema/webhooks/entry.ts';
import { SecretReference } from './secrets.ts';

/** What a path of the configuration becomes: that of a file, or of a folder that a node fills. */
type At = (path: string, kind?: 'folder') => string;

/** The configuration with every relative path made absolute, from the folder of the configuration file. */
export function resolvePaths(config: Config, folder: string): Config {
  return mapPaths(config, (path) => resolve(folder, path));
}

/** The files that a configuration names, absolute where it is; each once. */
export function namedFiles(config: Config): string[] {
  const files = new Set<string>();
  mapPaths(config, (path, kind) => {
    if (kind !== 'folder') files.add(path);
    return path;
  });
  return [...files];
}

/** The configuration with other paths. */
export function mapPaths(config: Config, at: At): Config {
  const maybe = (path: string | undefined): string | undefined => (path === undefined ? undefined : at(path));
  const secret = (s: Secret): Secret => secretAt(s, at);
  const { bus, tls, directory, credentials, dns, metrics, console } = config;
  return {
    ...config,
    node: { ...config.node, data: at(config.node.data, 'folder') },
    bus: {
      ...bus,
      ...(bus.password && { password: secret(bus.password) }),
      ...(bus.tls && {
        tls: { ca: maybe(bus.tls.ca), certificate: maybe(bus.tls.certificate), key: maybe(bus.tls.key) },
      }),
    },
    ...(tls && { tls: tlsAt(tls, at) }),
    listeners: config.listeners.map((listener) => listenerAt(listener, at)),
    certificates: config.certificates.map((entry) => ({
      ...entry,
      acme: { ...entry.acme, ...(entry.acme.ca !== undefined && { ca: at(entry.acme.ca) }) },
    })),
    directory: {
      ...directory,
      ...(directory.users && { users: at(directory.users) }),
      ...(directory.ldap && { ldap: ldapAt(directory.ldap, at) }),
    },
    authentication: {
      ...config.authentication,
      oauth: config.authentication.oauth.map((provider) => ({
        ...provider,
        ...(provider.ca && { ca: at(provider.ca) }),
      })),
    },
    credentials: { ...credentials, ...(typeof credentials.nek === 'string' && { nek: at(credentials.nek) }) },
    routes: config.routes.map((route) => routeAt(route, at)),
    ...(metrics?.token && { metrics: { ...metrics, token: secret(metrics.token) } }),
    ...(console && { console: consoleAt(console, at) }),
    webhooks: config.webhooks.map((webhook) => webhookAt(webhook, at)),
    dns: {
      ...dns,
      zones: dns.zones.map((zone) => ({
        ...zone,
        ...(zone.update && { update: { ...zone.update, secret: secret(zone.update.secret) } }),
      })),
    },
  };
}

function tlsAt(tls: NonNullable<Config['tls']>, at: At): NonNullable<Config['tls']> {
  const { certificate, key, nek } = tls;
  return {
    ...tls,
    ...(certificate !== undefined && { certificate: at(certificate) }),
    ...(key !== undefined && { key: at(key) }),
    ...(typeof nek === 'string' && { nek: at(nek) }),
    names: tls.names.map((entry) => ({ ...entry, certificate: at(entry.certificate), key: at(entry.key) })),
  };
}

function consoleAt(console: ConsoleConfig, at: At): ConsoleConfig {
  const { certificate, key, tokens, openid } = console;
  return {
    ...console,
    ...(certificate && { certificate: at(certificate) }),
    ...(key && { key: at(key) }),
    tokens: tokens.map((entry) => ({ ...entry, token: secretAt(entry.token, at) })),
    ...(openid && { openid: clientAt(openid, at) }),
  };
}

function secretAt(secret: Secret, at: At): Secret {
  return secret instanceof SecretReference && 'file' in secret.source
    ? new SecretReference({ file: at(secret.source.file) })
    : secret;
}

function webhookAt(webhook: WebhookConfig, at: At): WebhookConfig {
  const { secret, 'previous-secret': previous, ca } = webhook;
  return {
    ...webhook,
    secret: secretAt(secret, at),
    ...(previous && { 'previous-secret': secretAt(previous, at) }),
    ...(ca !== undefined && { ca: at(ca) }),
  };
}

function listenerAt(listener: ListenerConfig, at: At): ListenerConfig {
  const ca = listener['client-certificates']?.ca;
  return ca === undefined ? listener : { ...listener, 'client-certificates': { ca: at(ca) } };
}

function routeAt(route: RouteConfig, at: At): RouteConfig {
  const { via, ca } = route;
  return {
    ...route,
    ...loginAt(route, at),
    via: typeof via === 'string' ? viaAt(via, at) : via.map((entry) => hopAt(entry, at)),
    ...(ca && { ca: at(ca) }),
  };
}

function viaAt(via: string, at: At): string {
  const hop = parseVia(via);
  return hop?.kind === 'maildir' ? `maildir:${at(hop.folder, 'folder')}` : via;
}

function hopAt(entry: string | RouteHop, at: At): string | RouteHop {
  return typeof entry === 'string' ? entry : { ...entry, ...loginAt(entry, at) };
}

function loginAt({ password, oauth }: Pick<RouteConfig, 'password' | 'oauth'>, at: At) {
  return {
    ...(password && { password: secretAt(password, at) }),
    ...(oauth && { oauth: grantAt(oauth, at) }),
  };
}

function grantAt(grant: RouteOauth, at: At): RouteOauth {
  const { 'refresh-token': token } = grant;
  return { ...clientAt(grant, at), ...(token && { 'refresh-token': secretAt(token, at) }) };
}

/** A client of an OpenID provider. */
function clientAt<C extends { ca?: string | undefined; 'client-secret'?: Secret | undefined }>(client: C, at: At): C {
  const { 'client-secret': secret, ca } = client;
  return { ...client, ...(ca && { ca: at(ca) }), ...(secret && { 'client-secret': secretAt(secret, at) }) };
}

function ldapAt(ldap: LdapConfig, at: At): LdapConfig {
  const { ca, password } = ldap;
  return {
    ...ldap,
    ...(ca && { ca: at(ca) }),
    ...(password && { password: secretAt(password, at) }),
  };
}
