import assert from 'node:assert/strict';
import { test } from 'node:test';
import { daneOf } from '#services/router/delivery/dane/dane.ts';
import { DnsTrouble, type Resolver } from '#services/router/delivery/resolver.ts';

/** What DNS says: `proven` by DNSSEC or not, `silent`: no answer, SERVFAIL. Names that are not there are proven not to be. */
type Said = { alias?: string; tlsa?: 'ee' | 'ta' | 'pkix'; proven?: boolean; silent?: boolean };

const RECORDS = { ee: [3, 1, 1], ta: [2, 1, 1], pkix: [1, 1, 1] };

function resolverOf(zone: Record<string, Said>): Resolver & { asked: string[] } {
  const asked: string[] = [];
  const unused = async () => assert.fail('not asked here');
  return {
    asked,
    mx: unused,
    addresses: unused,
    machine: unused,
    ask: (async (name: string, type: string) => {
      asked.push(`${type} ${name}`);
      const { alias, tlsa, proven: authenticated = true, silent } = zone[name] ?? {};
      if (silent === true) throw new DnsTrouble(`no answer for ${name}`, true);
      const common = { expires: 0, authenticated };
      if (type === 'CNAME' && alias !== undefined) return { kind: 'found', records: [alias], ...common };
      if (type === 'TLSA' && tlsa !== undefined) {
        return { kind: 'found', records: [Buffer.from([...RECORDS[tlsa], ...Buffer.alloc(32)])], ...common };
      }
      return { kind: 'none', exists: false, ...common };
    }) as Resolver['ask'],
  };
}

/** `records BASE for NAMES`. */
async function inShort(zone: Record<string, Said>, authenticated: boolean, domain = 'd.test'): Promise<string> {
  const dane = await daneOf(resolverOf(zone), { name: 'm.test', authenticated }, domain);
  if (dane === undefined) return 'none';
  if (dane.kind === 'records') return `records ${dane.base} for ${dane.names.join(' ')}`;
  return dane.kind === 'unusable' ? `unusable ${dane.base}` : `unknown ${dane.reply.code} ${dane.reply.enhanced}`;
}

const OWN = '_25._tcp.m.test';
const OTHER = '_25._tcp.n.test';
const ALIAS = { 'm.test': { alias: 'n.test' } };
const PROVEN = true;
const UNPROVEN = false;

const CASES: [name: string, addresses: boolean, zone: Record<string, Said>, expected: string][] = [
  ['a host without records', PROVEN, {}, 'none'],
  ['records', PROVEN, { [OWN]: { tlsa: 'ee' } }, 'records m.test for m.test'],
  ['records of a host whose addresses are not proven', UNPROVEN, { [OWN]: { tlsa: 'ee' } }, 'none'],
  ['records that are not proven', PROVEN, { [OWN]: { tlsa: 'ee', proven: false } }, 'none'],
  ['records that cannot be used', PROVEN, { [OWN]: { tlsa: 'pkix' } }, 'unusable m.test'],
  ['no answer for the records', PROVEN, { [OWN]: { silent: true } }, 'unknown 451 4.4.3'],
  ['no answer for the aliases', PROVEN, { 'm.test': { silent: true } }, 'unknown 451 4.4.3'],
  [
    'no answer for the aliases where the addresses are not proven',
    UNPROVEN,
    { 'm.test': { silent: true } },
    'unknown 451 4.4.3',
  ],
  ['records of an authority', PROVEN, { [OWN]: { tlsa: 'ta' } }, 'records m.test for m.test d.test'],
  [
    'records of an authority, for a domain that is an alias',
    PROVEN,
    { [OWN]: { tlsa: 'ta' }, 'd.test': { alias: 'e.test' } },
    'records m.test for m.test d.test e.test',
  ],
  ['records of what an alias leads to', PROVEN, { ...ALIAS, [OTHER]: { tlsa: 'ee' } }, 'records n.test for n.test'],
  [
    'records of both names',
    PROVEN,
    { ...ALIAS, [OTHER]: { tlsa: 'ee' }, [OWN]: { tlsa: 'ee' } },
    'records n.test for n.test',
  ],
  ['records of the alias alone', PROVEN, { ...ALIAS, [OWN]: { tlsa: 'ee' } }, 'records m.test for m.test'],
  [
    'no answer for the records of the other name',
    PROVEN,
    { ...ALIAS, [OTHER]: { silent: true }, [OWN]: { tlsa: 'ee' } },
    'unknown 451 4.4.3',
  ],
  ['a proven alias that leads out', UNPROVEN, { ...ALIAS, [OWN]: { tlsa: 'ee' } }, 'records m.test for m.test'],
  ['records where a proven alias leads out', UNPROVEN, { ...ALIAS, [OTHER]: { tlsa: 'ee' } }, 'none'],
  [
    'an alias that is not proven',
    UNPROVEN,
    { 'm.test': { alias: 'n.test', proven: false }, [OWN]: { tlsa: 'ee' } },
    'none',
  ],
  ['aliases in a circle', PROVEN, { ...ALIAS, 'n.test': { alias: 'm.test' } }, 'unknown 451 4.4.3'],
];

for (const [name, authenticated, zone, expected] of CASES) {
  test(`${name}: ${expected}`, async () => assert.equal(await inShort(zone, authenticated), expected));
}

test('a host whose addresses are not proven is not asked for records: servers of such zones often fail at it', async () => {
  const resolver = resolverOf({});
  await daneOf(resolver, { name: 'm.test', authenticated: false }, 'd.test');
  assert.deepEqual(resolver.asked, ['CNAME m.test']);
});
