import { isIP } from 'node:net';
import { SERVER_PINGS } from './nats-config.ts';

/**
 * What every NATS server of the cluster reads. All have the same file: what differs comes from the environment, since
 * nats-server takes no changed file into use (SIGHUP) when such things stand on its command line.
 */
export type NatsServerOptions = {
  /** Names or addresses by which the servers reach each other. */
  routes: readonly string[];
  /** Of the servers among each other. */
  password: string;
  /** Files of the certificate and key that it shows to other servers. */
  certificate: readonly [certificate: string, key: string];
  /** Whether a server must give the password. */
  requirePassword: boolean;
};

const ROUTE_USER = 'route';

/** The administrator's file beside it: nats-server takes what stands there in place of what stands before. */
export const OWN_SETTINGS = 'local.conf';
export const OWN_SETTINGS_TEXT = `# Settings of your own for every NATS server. "sealpost cluster init" made this file once and leaves it alone.
# What stands here replaces what nats.conf says, a block as a whole. For example:
#   max_payload: 2MB
#   jetstream { store_dir: $NATS_STORE, max_file_store: 2GB }
#   http: "127.0.0.1:8222"
`;

export function natsServerConfig({ routes, password, certificate, requirePassword }: NatsServerOptions): string {
  const [certificateFile, keyFile] = certificate;
  const urls = routes.map((host) => {
    const name = isIP(host) === 6 ? `[${host}]` : host;
    return `"nats://${ROUTE_USER}:${encodeURIComponent(password)}@${name}:6222"`;
  });
  const login = requirePassword ? `\n  authorization { user: "${ROUTE_USER}", password: ${quote(password)} }` : '';
  return `# The configuration of every NATS server of the cluster, made and kept up to date by "sealpost cluster init". What is
# changed here is lost: settings of your own belong in ${OWN_SETTINGS}.
# It holds passwords: only nats-server needs to read it. Start each server in this folder with "nats-server -c nats.conf" and
#   NATS_NAME            its name; it must not change
#   NATS_ADDRESS         where it listens for clients
#   NATS_ROUTE_ADDRESS   where it listens for the other servers: an address that nothing else can reach
#   NATS_STORE           folder for its store
server_name: $NATS_NAME
host: $NATS_ADDRESS
port: 4222
jetstream { store_dir: $NATS_STORE }
# Known within seconds: a server that hangs, and a process that does.
${SERVER_PINGS}
tls { cert_file: "server.pem", key_file: "server-key.pem" }
cluster {
  name: "sealpost"
  host: $NATS_ROUTE_ADDRESS
  port: 6222
  routes: [${urls.join(', ')}]${login}
  # Only a server with a certificate of the authority for routes may join: it hears and says everything.
  tls { cert_file: "${certificateFile}", key_file: "${keyFile}", ca_file: "routes-ca.pem", verify: true }
}
include "users.conf"
include "${OWN_SETTINGS}"
`;
}

const quote = (text: string): string => `"${text.replace(/[\\"]/g, '\\$&')}"`;
