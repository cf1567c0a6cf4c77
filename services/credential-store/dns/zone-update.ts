import { randomInt } from 'node:crypto';
import type { ZoneConfig } from '#cluster/config/schema/schema.ts';
import { askByTcp } from '#shared/dns/exchange.ts';
import {
  Class,
  type DnsRecord,
  encodeMessage,
  Opcode,
  Rcode,
  type Response,
  rcodeName,
  recordsAt,
  Type,
} from '#shared/dns/message.ts';
import { parseServer, serverText } from '#shared/dns/server.ts';
import { errorCode, reasonText, SealpostError } from '#shared/errors.ts';
import { troubleError } from './trouble.ts';
import { signMessage, verifyResponse } from './tsig.ts';
import { cutBelow } from './zone-cut.ts';

/**
 * One name in a zone that takes dynamic updates (RFC 2136), signed with TSIG (tsig.ts), over TCP: an update with an RSA key
 * of 4096 bits does not fit a datagram (§6.2 allows TCP). publish.ts writes TXT records with it, publish-tlsa.ts others.
 *
 * Everything fails with `dns-refused` or `dns-failed`: trouble.ts says which, and why.
 */

/**
 * `timeoutMs` for each answer, 10 s by default; `now` is the clock of signatures, ms since 1970. `otherwise`: what to do
 * where a record of others is in the way, the end of a sentence.
 */
export type PublishOptions = { timeoutMs?: number; now?: () => number; otherwise?: string };

const TIMEOUT_MS = 10_000;

export type Connection = Required<PublishOptions> & {
  zone: ZoneConfig;
  update: NonNullable<ZoneConfig['update']>;
  name: string;
};

/** Fails where the zone cannot be the one to update. */
export async function connection(zone: ZoneConfig, name: string, options: PublishOptions): Promise<Connection> {
  const { update } = zone;
  if (update === undefined) {
    const text = `the zone ${zone.name} has no update settings: add server, key and secret to its entry in dns.zones, under update`;
    throw troubleError('settings', text);
  }
  const owner = name.toLowerCase();
  if (owner !== zone.name && !owner.endsWith(`.${zone.name}`)) {
    throw troubleError('settings', `${name} is not in the zone ${zone.name}: dns.zones needs an entry for its zone`);
  }
  const to = {
    zone,
    update,
    name: owner,
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    now: options.now ?? Date.now,
    otherwise: options.otherwise ?? 'remove it, or choose another selector',
  };
  await assertNoCut(to);
  return to;
}

/** Below a cut the server would take the update, and show it to nobody (RFC 2136 §7.18). */
async function assertNoCut(to: Connection): Promise<void> {
  const response = await exchange(to, queryOf(to, Type.SOA)).catch((error: unknown) => {
    // A server that does not sign such an answer tells nothing, and may take updates.
    if (errorCode(error) === 'dns-forged') return undefined;
    throw exchangeError(to, error);
  });
  const cut = response && cutBelow(to.zone.name, to.name, response);
  if (cut !== undefined) throw trouble(to, 'zone cut', cut);
}

/** No record of a type at a name: as a prerequisite (RFC 2136 §2.4.3). */
export function absent(name: string, type: number): DnsRecord {
  return { name, type, class: Class.NONE, ttl: 0, rdata: Buffer.alloc(0) };
}

/** A record to delete by its exact RDATA (RFC 2136 §2.5.4). */
export function deletion({ name, type, rdata }: Pick<DnsRecord, 'name' | 'type' | 'rdata'>): DnsRecord {
  return { name, type, class: Class.NONE, ttl: 0, rdata };
}

/** NOERROR, or the rcode of a prerequisite that does not hold. */
export async function update(to: Connection, answers: DnsRecord[], authorities: DnsRecord[]): Promise<number> {
  const id = randomInt(0x10000);
  const question = { name: to.zone.name, type: Type.SOA };
  const { rcode } = await converse(to, encode(to, { id, opcode: Opcode.UPDATE, question, answers, authorities }));
  if (rcode === Rcode.NOERROR || rcode === Rcode.YXRRSET || rcode === Rcode.NXRRSET) return rcode;
  throw refusal(to, rcode);
}

/** The records of a type at the name. `alias` says whether an alias there is a trouble. */
export async function recordsOf(
  to: Connection,
  type: 'TXT' | 'TLSA',
  alias: 'refused' | 'any' = 'refused',
): Promise<DnsRecord[]> {
  const response = await converse(to, queryOf(to, Type[type]));
  if (response.rcode !== Rcode.NOERROR && response.rcode !== Rcode.NXDOMAIN) throw refusal(to, response.rcode);
  if (alias === 'refused' && recordsAt(response, to.name, Type.CNAME).length > 0) throw aliasTrouble(to, type);
  return recordsAt(response, to.name, Type[type]);
}

export function aliasTrouble(to: Connection, type: string): SealpostError {
  const text = `${to.name} is an alias (CNAME) there, and no ${type} record can exist beside one: remove it`;
  return trouble(to, 'alias', text);
}

const queryOf = (to: Connection, type: number): Buffer =>
  encode(to, { id: randomInt(0x10000), opcode: Opcode.QUERY, question: { name: to.name, type } });

function encode(to: Connection, request: Parameters<typeof encodeMessage>[0]): Buffer {
  try {
    return encodeMessage(request);
  } catch (error) {
    throw trouble(to, 'settings', reasonText(error));
  }
}

/** Sign, send, and check the signature of the answer. */
async function converse(to: Connection, message: Buffer): Promise<Response> {
  return exchange(to, message).catch((error: unknown) => {
    throw exchangeError(to, error);
  });
}

/** The same with the errors of `askByTcp` and `verifyResponse`. */
async function exchange(to: Connection, message: Buffer): Promise<Response> {
  const { bytes, mac } = signMessage(message, to.update, to.now());
  const response = await askByTcp(parseServer(to.update.server), bytes, to.timeoutMs);
  verifyResponse(response, to.update, mac, to.now());
  return response;
}

function exchangeError(to: Connection, error: unknown): SealpostError {
  const code = errorCode(error);
  // What the signature of an answer says is sorted already (tsig.ts).
  if (error instanceof SealpostError && (code === 'dns-refused' || code === 'dns-failed')) {
    return new SealpostError(error.code, at(to, error.message));
  }
  return trouble(to, code === 'dns-forged' ? 'forged answer' : 'no answer', reasonText(error));
}

const ADVICE: Record<string, (to: Connection) => string> = {
  REFUSED: ({ update }) =>
    `let key "${update.key}" query and update the zone (in BIND: update-policy or allow-update), and thaw it if it is frozen`,
  NOTAUTH: ({ zone }) =>
    `it is not the primary of ${zone.name}, or has yet to load it: look there, or correct dns.zones`,
  NOTZONE: ({ name }) => `${name} is not in the zone that it serves: correct dns.zones`,
  NOTIMP: () => 'it does not accept dynamic updates (RFC 2136): publish by hand',
  FORMERR: () => 'it does not understand dynamic updates (RFC 2136): publish by hand',
};

/** The error for an rcode other than those expected. */
function refusal(to: Connection, rcode: number): SealpostError {
  const name = rcodeName(rcode);
  const advice = ADVICE[name]?.(to);
  return trouble(to, name, `answers ${name}${advice === undefined ? '' : `: ${advice}`}`);
}

export const trouble = (to: Connection, kind: string, text: string) => troubleError(kind, at(to, text));

const at = ({ zone, update }: Connection, text: string): string =>
  `zone ${zone.name} at ${serverText(parseServer(update.server))}: ${text}`;
