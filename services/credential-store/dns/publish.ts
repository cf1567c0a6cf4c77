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
import { txtOf, txtRdata } from '#shared/dns/txt.ts';
import { errorCode, reasonText, SealpostError } from '#shared/errors.ts';
import { excerpt } from '#shared/text.ts';
import { isRightKey, isSameRecord } from './judge.ts';
import { troubleError } from './trouble.ts';
import { signMessage, verifyResponse } from './tsig.ts';
import { cutBelow } from './zone-cut.ts';

/**
 * TXT records written into a zone by dynamic update (RFC 2136), signed with TSIG (tsig.ts), over TCP: an update with an
 * RSA key of 4096 bits does not fit a datagram (§6.2 allows TCP). Only TXT records are written so far; another type needs
 * its RDATA in place of `txtRdata` and its own answer to "is this record ours" (`isSameRecord`).
 *
 * A record that is not ours is never lost. Each update carries as a prerequisite what is expected at the name, exact to
 * the byte (§2.4); the server checks it and changes the zone atomically. To write a value:
 *
 *   1. ask whose zone the name is in (zone-cut.ts). Another one's than that of the update: refused
 *   2. expect no TXT record and no alias at the name
 *   3. update with that prerequisite. Accepted: done. YXRRSET: 4. NXRRSET: 2 again. Any other rcode fails.
 *   4. ask the server for the records at the name. An alias or a record of others: refused. Exactly the value with the
 *      TTL, or its key as another program writes it: done. Otherwise expect what was seen, and 3 again, a few times.
 *
 * The prerequisite comes before the question, because an answer does not tell a record from one that a wildcard
 * synthesizes (`*.example.com TXT "v=spf1 -all"` is common). An alias needs a prerequisite of its own: a record added
 * beside one is silently ignored (§3.4.2.2).
 *
 * Each operation may be repeated. It fails with `dns-refused` or `dns-failed`: trouble.ts says which, and why.
 */

/** `timeoutMs` for each answer, 10 s by default; `now` is the clock of signatures, ms since 1970. */
export type PublishOptions = { timeoutMs?: number; now?: () => number };

const TIMEOUT_MS = 10_000;
const TRIES = 4;

type Connection = Required<PublishOptions> & {
  zone: ZoneConfig;
  update: NonNullable<ZoneConfig['update']>;
  name: string;
};

/** `name` without the root dot; `ttl` in seconds. */
export type TxtRecord = { name: string; value: string; ttl: number };

/** Write a TXT record. Refused where the name has any other TXT record. */
export function publishTxt(zone: ZoneConfig, record: TxtRecord, options?: PublishOptions): Promise<void> {
  return replaceTxt(zone, record, [], options);
}

/**
 * Write a TXT record in place of those with the values `from`, or of none. Refused where the name has any other TXT
 * record.
 */
export async function replaceTxt(
  zone: ZoneConfig,
  { name, value, ttl }: TxtRecord,
  from: readonly string[],
  options: PublishOptions = {},
): Promise<void> {
  const to = await connection(zone, name, options);
  let expected: DnsRecord[] = [];
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const rcode = await update(to, prerequisites(to.name, expected), [
      { name: to.name, type: Type.TXT, class: Class.ANY, ttl: 0, rdata: Buffer.alloc(0) },
      { name: to.name, type: Type.TXT, class: Class.IN, ttl, rdata: txtRdata(value) },
    ]);
    if (rcode === Rcode.NOERROR) return;
    expected = rcode === Rcode.YXRRSET ? await recordsOf(to) : [];
    const foreign = expected.map(txtOf).find((text) => ![value, ...from].some((own) => isSameRecord(text, own)));
    if (foreign !== undefined) {
      throw trouble(
        to,
        'foreign record',
        `${to.name} already has another TXT record, which was not changed: ${excerpt(foreign, 60)}; remove it, or choose another selector`,
      );
    }
    if (expected.length === 1 && expected.every((r) => isWritten(r, value, ttl))) return;
  }
  throw trouble(to, 'moving records', `the records at ${to.name} keep changing: another program updates them too`);
}

/** Exactly the value with the TTL; or the same key as an administrator or another program wrote it, on purpose perhaps. */
function isWritten(record: DnsRecord, value: string, ttl: number): boolean {
  const text = txtOf(record);
  return text === value ? record.ttl === ttl : isRightKey(text, value);
}

/**
 * Remove the TXT records with these values, or with their keys written in another way; other records stay. There may be
 * none.
 */
export async function removeTxt(
  zone: ZoneConfig,
  name: string,
  ours: readonly string[],
  options: PublishOptions = {},
): Promise<void> {
  const to = await connection(zone, name, options);
  const found = (await recordsOf(to, 'any')).filter((record) => ours.some((own) => isSameRecord(txtOf(record), own)));
  if (found.length === 0) return;
  // Class NONE deletes one record by its exact RDATA (RFC 2136 §2.5.4).
  const rcode = await update(
    to,
    [],
    found.map(({ rdata }) => ({ name: to.name, type: Type.TXT, class: Class.NONE, ttl: 0, rdata })),
  );
  if (rcode !== Rcode.NOERROR) {
    throw trouble(to, rcodeName(rcode), `answers ${rcodeName(rcode)} to an update without prerequisites`);
  }
}

/** Fails where the zone cannot be the one to update. */
async function connection(zone: ZoneConfig, name: string, options: PublishOptions): Promise<Connection> {
  const { update } = zone;
  if (update === undefined) {
    const text = `the zone ${zone.name} has no update settings: add server, key and secret to its entry in dns.zones, under update`;
    throw troubleError('settings', text);
  }
  const owner = name.toLowerCase();
  if (owner !== zone.name && !owner.endsWith(`.${zone.name}`)) {
    throw troubleError('settings', `${name} is not in the zone ${zone.name}: dns.zones needs an entry for its zone`);
  }
  const to = { zone, update, name: owner, timeoutMs: options.timeoutMs ?? TIMEOUT_MS, now: options.now ?? Date.now };
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

/** Exactly these TXT records at the name, or none, and no alias (RFC 2136 §2.4.2, §2.4.3). */
function prerequisites(name: string, expected: DnsRecord[]): DnsRecord[] {
  const absent = (type: number): DnsRecord => ({ name, type, class: Class.NONE, ttl: 0, rdata: Buffer.alloc(0) });
  const present = expected.map(({ rdata }) => ({ name, type: Type.TXT, class: Class.IN, ttl: 0, rdata }));
  return [absent(Type.CNAME), ...(present.length === 0 ? [absent(Type.TXT)] : present)];
}

/** NOERROR, or the rcode of a prerequisite that does not hold. */
async function update(to: Connection, answers: DnsRecord[], authorities: DnsRecord[]): Promise<number> {
  const id = randomInt(0x10000);
  const question = { name: to.zone.name, type: Type.SOA };
  const { rcode } = await converse(to, encode(to, { id, opcode: Opcode.UPDATE, question, answers, authorities }));
  if (rcode === Rcode.NOERROR || rcode === Rcode.YXRRSET || rcode === Rcode.NXRRSET) return rcode;
  throw refusal(to, rcode);
}

/** The TXT records at the name. `alias` says whether an alias there is a trouble. */
async function recordsOf(to: Connection, alias: 'refused' | 'any' = 'refused'): Promise<DnsRecord[]> {
  const response = await converse(to, queryOf(to, Type.TXT));
  if (response.rcode !== Rcode.NOERROR && response.rcode !== Rcode.NXDOMAIN) throw refusal(to, response.rcode);
  if (alias === 'refused' && recordsAt(response, to.name, Type.CNAME).length > 0) {
    throw trouble(
      to,
      'alias',
      `${to.name} is an alias (CNAME) there, and no TXT record can exist beside one: remove it`,
    );
  }
  const records = recordsAt(response, to.name, Type.TXT);
  try {
    for (const record of records) txtOf(record);
  } catch (error) {
    throw trouble(to, 'no answer', reasonText(error));
  }
  return records;
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

const trouble = (to: Connection, kind: string, text: string) => troubleError(kind, at(to, text));

const at = ({ zone, update }: Connection, text: string): string =>
  `zone ${zone.name} at ${serverText(parseServer(update.server))}: ${text}`;
