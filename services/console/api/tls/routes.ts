import { z } from 'zod';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import {
  CertificateName,
  CertificatesReply,
  LedgerQuery,
  LedgerReply,
  LedgerRowsQuery,
  LedgerRowsReply,
} from '../../schemas/tls.ts';
import { route } from '../route.ts';
import { certificates } from './certificates.ts';
import { ledger, ledgerRows } from './ledger.ts';

export const tlsRoutes = [
  route({
    method: 'GET',
    path: '/api/tls/ledger',
    summary: 'How mail came or left, by domain: how much with which TLS, weaker than wanted first',
    access: 'viewer',
    domains: 'filtered',
    query: LedgerQuery,
    reply: LedgerReply,
    handler: ledger,
  }),
  route({
    method: 'GET',
    path: '/api/tls/ledger/rows',
    summary: 'How the mail of one domain came or left, the newest first',
    access: 'viewer',
    domains: 'filtered',
    query: LedgerRowsQuery,
    reply: LedgerRowsReply,
    handler: ledgerRows,
  }),
  route({
    method: 'GET',
    path: '/api/tls/certificates',
    summary: 'The certificates of the cluster, what is wrong with them, and what listeners show to clients',
    access: 'viewer',
    reply: CertificatesReply,
    handler: certificates,
  }),
  route({
    method: 'POST',
    path: '/api/tls/certificates/:name/order',
    summary: 'Order a certificate of the configuration now, whether it is due or not',
    access: 'operator',
    params: CertificateName,
    reply: z.object({}),
    handler: async ({ clients, params }) => {
      await clients.client(credentialStoreContract)['certificate-order'](params);
      return {};
    },
  }),
];
