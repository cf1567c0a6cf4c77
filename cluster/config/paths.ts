import { resolve } from 'node:path';
import type { Secret } from '#shared/secret.ts';
import type { RouteOauth } from './schema/oauth.ts';
import { parseVia, type RouteHop } from './schema/route.ts';
import type { Config, ConsoleConfig, LdapConfig, ListenerConfig, RouteConfig } from './schema/schema.ts';
import type { WebhookConfig } from './schema/webhooks/entry.ts';
import { SecretReference } from './secrets.ts';

/** The configuration with every relative path made absolute, from the folder of the configuration file. */
export function resolvePaths(config: Config, folder: string): Config {
  const at = (path: string): string => resolve(folder, path);
  const maybe = (path: string | undefined): string | undefined => (path === undefined ? undefined : at(path));
  const secret = (s: Secret): Secret => secretAt(s, folder);
  const { bus, tls, directory, credentials, dns, metrics, console } = config;
  return {
    ...config,
    node: { ...config.node, data: at(config.node.data) },
    bus: {
      ...bus,
      ...(bus.password && { password: secret(bus.password) }),
      ...(bus.tls && {
        tls: { ca: maybe(bus.tls.ca), certificate: maybe(bus.tls.certificate), key: maybe(bus.tls.key) },
      }),
    },
    ...(tls && { tls: tlsAt(tls, folder) }),
    listeners: config.listeners.map((listener) => listenerAt(listener, folder)),
    certificates: config.certificates.map((entry) => ({
      ...entry,
      acme: { ...entry.acme, ...(entry.acme.ca !== undefined && { ca: at(entry.acme.ca) }) },
    })),
    directory: {
      ...directory,
      ...(directory.users && { users: at(directory.users) }),
      ...(directory.ldap && { ldap: ldapAt(directory.ldap, folder) }),
    },
    authentication: {
      ...config.authentication,
      oauth: config.authentication.oauth.map((provider) => ({
        ...provider,
        ...(provider.ca && { ca: at(provider.ca) }),
      })),
    },
    credentials: { ...credentials, ...(typeof credentials.nek === 'string' && { nek: at(credentials.nek) }) },
    routes: config.routes.map((route) => routeAt(route, folder)),
    ...(metrics?.token && { metrics: { ...metrics, token: secret(metrics.token) } }),
    ...(console && { console: consoleAt(console, folder) }),
    webhooks: config.webhooks.map((webhook) => webhookAt(webhook, folder)),
    dns: {
      ...dns,
      zones: dns.zones.map((zone) => ({
        ...zone,
        ...(zone.update && { update: { ...zone.update, secret: secret(zone.update.secret) } }),
      })),
    },
  };
}

function tlsAt(tls: NonNullable<Config['tls']>, folder: string): NonNullable<Config['tls']> {
  const at = (path: string): string => resolve(folder, path);
  const { certificate, key, nek } = tls;
  return {
    ...tls,
    ...(certificate !== undefined && { certificate: at(certificate) }),
    ...(key !== undefined && { key: at(key) }),
    ...(typeof nek === 'string' && { nek: at(nek) }),
    names: tls.names.map((entry) => ({ ...entry, certificate: at(entry.certificate), key: at(entry.key) })),
  };
}

function consoleAt(console: ConsoleConfig, folder: string): ConsoleConfig {
  const { certificate, key, tokens } = console;
  return {
    ...console,
    ...(certificate && { certificate: resolve(folder, certificate) }),
    ...(key && { key: resolve(folder, key) }),
    tokens: tokens.map((entry) => ({ ...entry, token: secretAt(entry.token, folder) })),
  };
}

function secretAt(secret: Secret, folder: string): Secret {
  return secret instanceof SecretReference && 'file' in secret.source
    ? new SecretReference({ file: resolve(folder, secret.source.file) })
    : secret;
}

function webhookAt(webhook: WebhookConfig, folder: string): WebhookConfig {
  const { secret, 'previous-secret': previous, ca } = webhook;
  return {
    ...webhook,
    secret: secretAt(secret, folder),
    ...(previous && { 'previous-secret': secretAt(previous, folder) }),
    ...(ca !== undefined && { ca: resolve(folder, ca) }),
  };
}

function listenerAt(listener: ListenerConfig, folder: string): ListenerConfig {
  const ca = listener['client-certificates']?.ca;
  return ca === undefined ? listener : { ...listener, 'client-certificates': { ca: resolve(folder, ca) } };
}

function routeAt(route: RouteConfig, folder: string): RouteConfig {
  const { via, ca } = route;
  return {
    ...route,
    ...loginAt(route, folder),
    via: typeof via === 'string' ? viaAt(via, folder) : via.map((entry) => hopAt(entry, folder)),
    ...(ca && { ca: resolve(folder, ca) }),
  };
}

function viaAt(via: string, folder: string): string {
  const hop = parseVia(via);
  return hop?.kind === 'maildir' ? `maildir:${resolve(folder, hop.folder)}` : via;
}

function hopAt(entry: string | RouteHop, folder: string): string | RouteHop {
  return typeof entry === 'string' ? entry : { ...entry, ...loginAt(entry, folder) };
}

function loginAt({ password, oauth }: Pick<RouteConfig, 'password' | 'oauth'>, folder: string) {
  return {
    ...(password && { password: secretAt(password, folder) }),
    ...(oauth && { oauth: grantAt(oauth, folder) }),
  };
}

function grantAt(grant: RouteOauth, folder: string): RouteOauth {
  const { 'client-secret': secret, 'refresh-token': token, ca } = grant;
  return {
    ...grant,
    ...(ca && { ca: resolve(folder, ca) }),
    ...(secret && { 'client-secret': secretAt(secret, folder) }),
    ...(token && { 'refresh-token': secretAt(token, folder) }),
  };
}

function ldapAt(ldap: LdapConfig, folder: string): LdapConfig {
  const { ca, password } = ldap;
  return {
    ...ldap,
    ...(ca && { ca: resolve(folder, ca) }),
    ...(password && { password: secretAt(password, folder) }),
  };
}
