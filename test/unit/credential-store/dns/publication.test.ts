import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Config, ConfigSchema } from '#cluster/config/schema/schema.ts';
import {
  fixedSelectors,
  publicationFor,
  recordName,
  zoneToUpdate,
} from '#services/credential-store/dns/publication.ts';
import type { KeyRecord, Publication } from '#services/credential-store/records/domain-record.ts';
import { SealpostError } from '#shared/errors.ts';

const update = { server: '127.0.0.1:5300', key: 'sealpost', secret: 'c2VjcmV0' };

const config = (data: { domains?: unknown[]; zones?: unknown[] }): Config =>
  ConfigSchema.parse({ domains: data.domains ?? [], dns: { zones: data.zones ?? [] } });

const CNAME = {
  name: 'customer.example',
  keys: { publish: 'cname', cname: { target: 'dkim.example.net', selectors: ['sp1', 'sp2'] } },
};

const CASES: [string, { domains?: unknown[]; zones?: unknown[] }, string, string, Publication][] = [
  ['nothing is configured: by hand', {}, 'example.com', 's1', { by: 'manual' }],
  [
    'a zone that we may update',
    { zones: [{ name: 'example.com', update }] },
    'example.com',
    's1',
    { by: 'update', zone: 'example.com' },
  ],
  ['a zone without update', { zones: [{ name: 'example.com' }] }, 'example.com', 's1', { by: 'manual' }],
  [
    'a parent zone holds the domain',
    { zones: [{ name: 'example.com', update }] },
    'mail.example.com',
    's1',
    { by: 'update', zone: 'example.com' },
  ],
  [
    'the nearest zone counts',
    {
      zones: [
        { name: 'example.com', update },
        { name: '_domainkey.example.com', update },
      ],
    },
    'example.com',
    's1',
    { by: 'update', zone: '_domainkey.example.com' },
  ],
  [
    'the nearest zone is not ours to update',
    { zones: [{ name: 'example.com', update }, { name: '_domainkey.example.com' }] },
    'example.com',
    's1',
    { by: 'manual' },
  ],
  ['another zone with the same end', { zones: [{ name: 'ample.com', update }] }, 'example.com', 's1', { by: 'manual' }],
  [
    'by hand although it could be updated',
    { domains: [{ name: 'example.com', keys: { publish: 'manual' } }], zones: [{ name: 'example.com', update }] },
    'example.com',
    's1',
    { by: 'manual' },
  ],
  [
    'a domain in no DNS, and what is below it',
    { domains: [{ name: 'example.com', keys: { proof: 'none' } }] },
    'sub.example.com',
    's1',
    { by: 'none' },
  ],
  [
    'behind a CNAME',
    { domains: [CNAME], zones: [{ name: 'dkim.example.net', update }] },
    'customer.example',
    'sp2',
    { by: 'cname', zone: 'dkim.example.net', target: 'sp2.customer.example.dkim.example.net' },
  ],
];

describe('publication of a new key', () => {
  for (const [what, data, domain, selector, expected] of CASES) {
    test(what, () => assert.deepEqual(publicationFor({ domain, selector }, config(data)), expected));
  }

  test('a selector without a CNAME is refused with those that have one', () => {
    const data = config({ domains: [CNAME], zones: [{ name: 'dkim.example.net', update }] });
    assert.throws(
      () => publicationFor({ domain: 'customer.example', selector: 's1' }, data),
      (error) => error instanceof SealpostError && error.code === 'not-configured' && /sp1, sp2/.test(error.message),
    );
  });

  test('update without a zone names the record that cannot be written', () => {
    const data = config({ domains: [{ name: 'example.com', keys: { publish: 'update' } }] });
    assert.throws(
      () => publicationFor({ domain: 'example.com', selector: 's1' }, data),
      /s1\._domainkey\.example\.com, but no entry of dns\.zones/,
    );
  });
});

test('the record stands at the name of the key, or at the target of its CNAME', () => {
  assert.equal(
    recordName('example.com', { selector: 's1', publication: { by: 'manual' } }),
    's1._domainkey.example.com',
  );
  const publication = { by: 'cname', zone: 'example.net', target: 's1.example.com.example.net' } as const;
  assert.equal(recordName('example.com', { selector: 's1', publication }), 's1.example.com.example.net');
});

test('a node that lacks the zone of a published key is named', () => {
  const publication = { by: 'update', zone: 'example.com' } as const;
  const current = ConfigSchema.parse({ node: { name: 'edge-3' } });
  assert.throws(
    () => zoneToUpdate('example.com', { selector: 's1', publication } as KeyRecord, current),
    /node edge-3, .* example\.com/,
  );
});

test('an entry for a zone cut that was overlooked serves the keys that were made before it', () => {
  const key = { selector: 's1', publication: { by: 'update', zone: 'example.com' } } as KeyRecord;
  const zones = [
    { name: 'example.com', update },
    { name: '_domainkey.example.com', update },
  ];
  assert.equal(zoneToUpdate('example.com', key, config({ zones })).name, '_domainkey.example.com');
  assert.throws(
    () => zoneToUpdate('example.com', key, config({ zones: [zones[0], { name: '_domainkey.example.com' }] })),
    /cannot update _domainkey\.example\.com/,
  );
});

test('selectors are fixed where CNAMEs are', () => {
  const { domains } = config({ domains: [CNAME, { name: 'example.com' }] });
  assert.deepEqual(fixedSelectors('customer.example', domains), ['sp1', 'sp2']);
  assert.equal(fixedSelectors('example.com', domains), undefined);
});
