import type { Config } from '#cluster/config/schema/schema.ts';
import { splitHeader } from '#shared/header.ts';
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
  const users = session.user === undefined ? [] : [session.user];
  return whenKnown(ask({ users, maps: rewriting.maps }), (directory) => ({ ...known, directory }));
}
