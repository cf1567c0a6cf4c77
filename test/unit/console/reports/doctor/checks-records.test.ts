import { RECORD_CHECKS } from '#services/console/reports/doctor/checks-records.ts';
import { facts, MINUTE, NOW, testChecks } from './doctor-facts.ts';

/** What `sealpost doctor` says of records that are not authentic. */

const { status } = facts();
const refusal = { record: 'example.com', writer: 'edge-2', reason: 'its MAC is wrong', at: NOW - 5 * MINUTE };
const stores = (own: Partial<typeof status> & object) => ({ stores: [{ ...status, sealed: true, ...own }] });

testChecks(RECORD_CHECKS, [
  [
    'a forged record of a domain that is held',
    stores({ refused: [{ ...refusal, held: true }] } as object),
    'record-refused',
    'warning',
    'example.com',
    /edge-1 refused a record of it in the name of edge-2, 5m ago: its MAC is wrong.*keys repair example\.com/,
  ],
  [
    'a forged record of a domain that is not held',
    stores({ refused: [{ ...refusal, held: false }] } as object),
    'record-refused',
    'error',
    'example.com',
    /edge-1 has no record of it.*its MAC is wrong.*keys repair example\.com/,
  ],
  [
    'a store that takes records of anyone',
    stores({ sealed: false } as object),
    'records-unsealed',
    'warning',
    'node edge-1',
    /anyone who can write to NATS.*update Sealpost on every node/,
  ],
]);
