import { isIPv6 } from 'node:net';
import { splitHeader } from '#shared/mail/header.ts';
import type { FilteredMail } from '../filter.ts';

import { packet, uint32, word } from './packets.ts';
import { COMMAND, type Command, MOST_DATA } from './protocol.ts';

/** A command with what has to be sent for it: its macros, which say more of it, and itself. */
export type Step = { command: Command; packets: Buffer[] };

type Macros = Record<string, string>;

/** Fields of one header that are shown: each one costs a packet and, mostly, an answer. */
const MOST_FIELDS = 2000;

/** What comes before the message, in the order of SMTP. */
export function* opening({ facts, hostname, queueId, reversePath, recipients }: FilteredMail): Generator<Step> {
  const { client, tls, user, listener } = facts;
  const { address } = client;
  const name = client.name ?? `[${address}]`;
  const session = { j: hostname, '{daemon_name}': listener, _: `${name} [${address}]` };
  yield step(
    COMMAND.connect,
    { ...session, '{client_addr}': address, '{client_name}': client.name ?? 'unknown' },
    // The port of the client is not known: 0, as Postfix says it.
    [word(name), Buffer.from(isIPv6(address) ? '6\0\0' : '4\0\0'), word(address)],
  );
  const secured: Macros = tls === undefined ? {} : { '{tls_version}': tls.protocol, '{cipher}': tls.cipher };
  yield step(COMMAND.helo, secured, [word(client.helo)]);
  // Filters ask whether there is a mechanism, to know mail of users; which one it was does not matter to them.
  const login: Macros = user === undefined ? {} : { '{auth_type}': 'PLAIN', '{auth_authen}': user };
  yield step(COMMAND.mail, { i: queueId, ...login, '{mail_addr}': reversePath }, [word(`<${reversePath}>`)]);
  for (const recipient of recipients) {
    yield step(COMMAND.rcpt, { '{rcpt_addr}': recipient }, [word(`<${recipient}>`)]);
  }
  yield step(COMMAND.data, { i: queueId }, []);
}

/** The fields of a header. Throws where the protocol cannot carry one, or they are too many. */
export function* headerSteps(header: Buffer, leadingSpace: boolean): Generator<Step> {
  const fields = splitHeader(header.toString('latin1'));
  if (fields.length > MOST_FIELDS)
    throw new Error(`the header has ${fields.length} fields: at most ${MOST_FIELDS} are shown to a milter`);
  for (const { raw } of fields) {
    const colon = raw.indexOf(':');
    // A line feed between lines, and a name without the white space that old mailers put before the colon.
    const value = raw
      .slice(colon + 1)
      .replaceAll('\r\n', '\n')
      .replace(/\n$/, '');
    const shown = leadingSpace ? value : value.replace(/^[ \t]/, '');
    const made = step(COMMAND.header, {}, [word(raw.slice(0, colon).trimEnd(), 'latin1'), word(shown, 'latin1')]);
    if ((made.packets[0]?.length ?? 0) > MOST_DATA)
      throw new Error('a field of the header is longer than the milter protocol can carry');
    yield made;
  }
  yield step(COMMAND.endOfHeader, {}, []);
}

export function bodyStep(chunk: Buffer): Step {
  return step(COMMAND.body, {}, [chunk]);
}

export function lastStep({ queueId }: FilteredMail): Step {
  return step(COMMAND.endOfBody, { i: queueId }, []);
}

export function offer(version: number, actions: number, protocol: number): Buffer {
  return packet(COMMAND.negotiate, uint32(version), uint32(actions), uint32(protocol));
}

function step(command: Command, macros: Macros, data: Buffer[]): Step {
  const words = Object.entries(macros).flatMap(([name, value]) => [word(name), word(value)]);
  const defined = words.length === 0 ? [] : [packet(COMMAND.macros, Buffer.from(command), ...words)];
  return { command, packets: [...defined, packet(command, ...data)] };
}
