import type { Config } from '#cluster/config/schema/schema.ts';
import { authorsOf } from '#shared/address/authors.ts';
import type { Authenticity, BodyHash } from '#shared/mail/authenticity.ts';
import { splitHeader } from '#shared/mail/header.ts';
import type { IncomingMail } from '../authenticity/verify.ts';
import type { SessionFacts } from '../contract.ts';
import type { AskDirectory } from '../directory/directory.ts';
import type { PolicyFacts } from '../facts.ts';
import { isIncoming } from '../message/origin.ts';
import { whenAllKnown } from './when-known.ts';

export type MessageRequest = {
  facts: SessionFacts;
  queueId: string;
  reversePath: string;
  recipients: readonly string[];
  smtpUtf8: boolean;
  size: number;
  bodyHashes?: readonly BodyHash[] | undefined;
};
type MessageDeps = Pick<PolicyFacts['message'], 'rules' | 'rewriting' | 'incoming' | 'forcedTls' | 'now'> & {
  ask: AskDirectory;
  config: Pick<Config, 'node' | 'limits' | 'authenticity'>;
  /** What is found out about mail from outside; without it nothing is. */
  verify?: ((mail: IncomingMail) => Promise<Authenticity>) | undefined;
};

/** `header` is the header block as received. */
export function messageFacts(
  request: MessageRequest,
  header: Uint8Array,
  deps: MessageDeps,
): PolicyFacts['message'] | Promise<PolicyFacts['message']> {
  const { facts: session, queueId, reversePath, recipients, smtpUtf8, size } = request;
  const { rules, rewriting, incoming, forcedTls, ask, now, config } = deps;
  // latin1 keeps every octet as it is.
  const text = Buffer.from(header.buffer, header.byteOffset, header.byteLength).toString('latin1');
  const inOrder = splitHeader(text);
  const fields = Map.groupBy(inOrder, (field) => field.name);
  const { limits, node } = config;
  const said = { session, queueId, reversePath, recipients, smtpUtf8, size, fields, header: { text, fields: inOrder } };
  const authservId = config.authenticity['authserv-id'] ?? node.hostname;
  const known = {
    ...{ ...said, rules, rewriting, incoming, forcedTls },
    ...{ hostname: node.hostname, authservId, limits, now },
  };
  const { user } = session;
  const about = user === undefined ? {} : { users: [user], addresses: rewriting.tagged(authorsIn(fields)) };
  const { header: block } = known;
  const { client, gateway } = session;
  const spfExempt = incoming.exemptFromSpf(session) !== undefined;
  const verified =
    config.authenticity.check && isIncoming(session, rules)
      ? deps.verify?.({ client, gateway, spfExempt, reversePath, header: block, bodyHashes: request.bodyHashes })
      : undefined;
  return whenAllKnown([ask({ ...about, maps: rewriting.maps }), verified], (directory, authenticity) => ({
    ...{ ...known, directory, authenticity },
  }));
}

/** Whom the message names as authors and senders, so far as the check of authors looks. */
function authorsIn(fields: PolicyFacts['message']['fields']): string[] {
  const said = ['from', 'sender', 'resent-from'].flatMap((name) => fields.get(name)?.slice(0, 1) ?? []);
  return said.flatMap((field) => authorsOf(field).addresses);
}
