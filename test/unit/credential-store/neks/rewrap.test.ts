import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Neks } from '#services/credential-store/neks/neks.ts';
import { pendingKeys } from '#services/credential-store/neks/rewrap.ts';
import type { DomainRecord } from '#services/credential-store/records/domain-record.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { silentLogger } from '#shared/log.ts';
import { seededRandom } from '#test/kit/random.ts';
import { domainOf, holder, keyUnder, MemoryRecords, nekOf, openAll } from './fixture.ts';

/**
 * A rotation of NEKs over stores of all kinds, cut off after each of its writes: whatever is on disk then opens with
 * the two NEKs, and the next node finishes, although the life of keys went on in the meantime.
 */

const NEKS = ['old', 'next'].map(nekOf) as [Nek, Nek];
const [old, next] = NEKS;

function nodeOver(records: MemoryRecords, node: string): Neks {
  return new Neks({
    node,
    log: silentLogger,
    records,
    configured: async () => NEKS,
    live: () => [holder(node, 'credential-store', NEKS), holder(node, 'signer', NEKS)],
    directory: { wrappedBy: () => 0, without: () => 0, readers: () => [] },
  });
}

/** Up to 4 domains of up to 4 keys, some erased. */
function randomDomains(random: () => number): DomainRecord[] {
  return Array.from({ length: 1 + Math.floor(random() * 4) }, (_, d) => {
    const domain = `d${d}.example`;
    const keys = Array.from({ length: Math.floor(random() * 5) }, (_, k) =>
      keyUnder(random() < 0.2 ? undefined : old, domain, `s${k}`),
    );
    return domainOf(domain, ...keys);
  });
}

/** What another node does to a domain meanwhile: a new key under a NEK that was current, a key erased, a domain gone. */
function disturb(records: MemoryRecords, random: () => number): void {
  const all = records.all();
  const record = all[Math.floor(random() * all.length)];
  if (record === undefined) return;
  const { domain, keys } = record;
  const what = random();
  if (what < 0.4) {
    const nek = random() < 0.5 ? old : next;
    records.putDomain({ ...record, keys: [...keys, keyUnder(nek, domain, `n${records.writes}`)] });
  } else if (what < 0.8) {
    records.putDomain({
      ...record,
      keys: keys.map(({ wrapped, ...key }, i) =>
        i === 0 || wrapped === undefined ? { ...key, state: 'retired' } : { ...key, wrapped },
      ),
    });
  } else records.put(`domain!${domain}`, undefined);
}

test('a rotation of NEKs that is cut off after any of its writes leaves every key openable, and is finished', async () => {
  let cuts = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const domains = randomDomains(seededRandom(seed));
    for (let writes = 0; ; writes++) {
      const random = seededRandom(seed * 1000 + writes);
      const records = new MemoryRecords();
      for (const domain of domains) records.putDomain(domain);
      await nodeOver(records, 'edge-1').use('old');
      const keys = openAll(records, [old]);

      records.writesLeft = writes;
      const cut = await nodeOver(records, 'edge-1')
        .rotate('next')
        .then(
          () => false,
          (error: { code?: string }) => error.code === 'no-quorum',
        );
      const place = `seed ${seed}, ${writes} writes`;
      assert.equal(openAll(records, NEKS), keys, place);
      records.writesLeft = Number.POSITIVE_INFINITY;
      if (!cut) {
        assert.equal(openAll(records, [next]), keys, place);
        break;
      }
      cuts++;

      for (let i = 0; i < 3; i++) disturb(records, random);
      const before = openAll(records, NEKS);
      const rival = random() < 0.5;
      if (rival) records.rival = () => disturb(records, random);
      const successor = nodeOver(records, 'edge-2');
      if (writes === 0 || random() < 0.5) await successor.rotate('next');
      else await successor.resume();
      await successor.resume();
      assert.deepEqual(pendingKeys(records), [], place);
      const after = openAll(records, [next]);
      if (!rival) assert.equal(after, before, place);
    }
  }
  assert.ok(cuts > 100, `only ${cuts} rotations were cut off`);
});
