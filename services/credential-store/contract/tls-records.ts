import { z } from 'zod';
import { TlsDnsRecord, TlsDnsRecordStatus, WithdrawnTlsDnsRecord } from '#shared/tls/dns-record.ts';
import { CHANGE } from './common.ts';

const CHANGE_IN_DNS = [
  'dns-name',
  'dns-resolver',
  'dns-unreachable',
  'dns-no-route',
  'dns-malformed',
  'dns-refused',
  'dns-failed',
  ...CHANGE,
] as const;

/** Operations on the records that tell other servers of our TLS. */
export const tlsRecordOperations = {
  /**
   * Publish a record about our TLS, where `dns.zones` has its zone, and wait a while until all servers have it; or say
   * what is there. `replace`: also in place of records of the same kind that others made. Without `write` nothing is
   * changed.
   */
  'tls-record-publish': {
    request: z.object({ record: TlsDnsRecord, write: z.boolean(), replace: z.boolean() }),
    reply: TlsDnsRecordStatus,
    errors: CHANGE_IN_DNS,
    timeout: 90_000,
    audited: ({ record, write }: { record: TlsDnsRecord; write: boolean }) =>
      write ? `${record.kind} of ${record.kind === 'tlsa' ? record.host : record.domain}` : undefined,
  },
  /** The names that we published something at. */
  'tls-record-list': {
    request: z.object({}),
    reply: z.object({ node: z.string(), names: z.array(z.string()) }),
    repeatable: true,
  },
  /**
   * Remove what we published at a name, and nothing else, where `dns.zones` has its zone, and wait a while until no server
   * has it; or say what is there. Without `write` nothing is changed. `answered`: the nodes that are known not to need it.
   */
  'tls-record-withdraw': {
    request: z.object({ name: z.string(), write: z.boolean(), answered: z.array(z.string()).default([]) }),
    reply: WithdrawnTlsDnsRecord,
    errors: CHANGE_IN_DNS,
    timeout: 90_000,
    audited: ({ name, write }: { name: string; write: boolean }) => (write ? name : undefined),
  },
  /** No TLSA record stays for a node any more that was taken out for good. Answers how many did. */
  'tls-record-forget': {
    request: z.object({ node: z.string() }),
    reply: z.object({ count: z.number().int() }),
    errors: CHANGE,
    audited: ({ node }: { node: string }) => node,
  },
} as const;
