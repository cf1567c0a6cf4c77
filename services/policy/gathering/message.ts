import type { Config } from '#cluster/config/schema/schema.ts';
import { authorsOf } from '#shared/address/authors.ts';
import { splitHeader } from '#shared/mail/header.ts';
import type { SessionFacts } from '../contract.ts';
import type { AskDirectory } from '../directory/directory.ts';
import type { PolicyFacts } from '../facts.ts';
import { whenKnown } from './when-known.ts';

type MessageRequest = {
  facts: SessionFacts;
  queueId: string;
  reversePath: string;
  recipients: readonly string[];
  smtpUtf8: boolean;
  size: number;
};
type MessageDeps = Pick<PolicyFacts['message'], 'rules' | 'rewriting' | 'now'> & {
  ask: AskDirectory;
  config: Pick<Config, 'node' | 'limits'>;
};

/** `header` is the header block as received. */
export function messageFacts(
  request: MessageRequest,
  header: Uint8Array,
  deps: MessageDeps,
): PolicyFacts['message'] | Promise<PolicyFacts['message']> {
  const { facts: session, queueId, reversePath, recipients, smtpUtf8, size } = request;
  const { rules, rewriting, ask, now, config } = deps;
  // latin1 keeps every octet as it is.
  const text = Buffer.from(header.buffer, header.byteOffset, header.byteLength).toString('latin1');
  const inOrder = splitHeader(text);
  const fields = Map.groupBy(inOrder, (field) => field.name);
  const { limits, node } = config;
  const said = { session, queueId, reversePath, recipients, smtpUtf8, size, fields, header: { text, fields: inOrder } };
  const known = { ...said, rules, rewriting, hostname: node.hostname, limits, now };
  const { user } = session;
  const about = user === undefined ? {} : { users: [user], addresses: rewriting.tagged(authorsIn(fields)) };
  return whenKnown(ask({ ...about, maps: rewriting.maps }), (directory) => ({ ...known, directory }));
}

/** Whom the message names as authors and senders, so far as the check of authors looks. */
function authorsIn(fields: PolicyFacts['message']['fields']): string[] {
  const said = ['from', 'sender', 'resent-from'].flatMap((name) => fields.get(name)?.slice(0, 1) ?? []);
  return said.flatMap((field) => authorsOf(field).addresses);
}
