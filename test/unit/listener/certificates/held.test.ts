import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { byName, defaultOf, type HeldCertificate, openCertificate } from '#services/listener/certificates/held.ts';
import { TlsMaterial } from '#services/listener/tls-material.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { silentLogger } from '#shared/log.ts';
import { wrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import { issue } from '#test/kit/tls/issue.ts';

const nek = parseNek(generateNek('tls'));
const DAY_MS = 86_400_000;

async function held(name: string, names: string[], days = 90): Promise<HeldCertificate> {
  const { certificate: chain, key } = await issue(names[0] ?? name, { names, until: Date.now() + days * DAY_MS });
  const wrapped = wrapCertificateKey(nek, { name, chain }, createPrivateKey(key));
  return openCertificate({ name, chain, wrapped }, [nek]).held;
}

const mx = await held('mx', ['mx.example.com', 'shared.example.com'], 30);
const mail = await held('mail', ['mail.example.com', 'shared.example.com'], 90);
const wild = await held('wild', ['*.example.org']);

const config = (hostname: string, credential?: string) =>
  ConfigSchema.parse({ node: { hostname }, listeners: [], tls: { nek: 'tls.nek', ...(credential && { credential }) } });

const DEFAULTS: [
  what: string,
  all: HeldCertificate[],
  hostname: string,
  credential: string | undefined,
  name?: string,
][] = [
  ['the one that the configuration names', [mx, mail], 'mail.example.com', 'mx', 'mx'],
  ['nothing where that one is not there', [mail], 'mail.example.com', 'mx'],
  ['the one for the name of this host', [mx, mail], 'mail.example.com', undefined, 'mail'],
  ['the one for it by a wildcard', [mx, wild], 'edge.example.org', undefined, 'wild'],
  ['of two for it the one that is valid longest', [mx, mail], 'shared.example.com', undefined, 'mail'],
  ['the only one', [wild], 'mx.example.com', undefined, 'wild'],
  ['nothing where several are for other names', [mx, mail], 'other.example.com', undefined],
];

for (const [what, all, hostname, credential, name] of DEFAULTS) {
  test(`the default is ${what}`, () => {
    assert.equal(defaultOf(all, config(hostname, credential))?.stored.name, name);
  });
}

test('a client gets the certificate for the name that it asks for, else the default', () => {
  const tls = new TlsMaterial(silentLogger);
  tls.share(byName([mx, mail, wild], mx));
  const name = (host: string) =>
    [mx, mail, wild].find(({ material: { context } }) => context === tls.contextFor(host))?.stored.name;
  assert.equal(name('mail.example.com'), 'mail');
  assert.equal(name('MAIL.example.com.'), 'mail');
  assert.equal(name('edge.example.org'), 'wild');
  assert.equal(name('deep.edge.example.org'), 'mx');
  assert.equal(name('example.org'), 'mx');
  assert.equal(name('other.example.com'), 'mx');
  // Both are for it: the default is what the administrator chose.
  assert.equal(name('shared.example.com'), 'mx');
});

test('without a default a client that asks for no known name gets none', () => {
  const tls = new TlsMaterial(silentLogger);
  tls.share(byName([mx, mail], undefined));
  assert.equal(tls.contextFor('mail.example.com'), mail.material.context);
  assert.equal(tls.contextFor('other.example.com'), undefined);
  assert.equal(tls.contexts.has('*'), false);
});

test('the same certificates again leave the contexts as they are: with new ones every ticket of a session would be lost', () => {
  const tls = new TlsMaterial(silentLogger);
  const asking = { name: 'mx', kind: 'relay', port: 0, tls: 'starttls', 'client-certificates': {} };
  tls.use({ ...config('mx.example.com'), listeners: ConfigSchema.parse({ listeners: [asking] }).listeners });
  const contexts = tls.of({ ca: undefined });
  tls.share(byName([mx], mx));
  const before = contexts.contextFor('mx.example.com');
  assert.ok(before);
  tls.share(byName([mx], mx));
  assert.equal(contexts.contextFor('mx.example.com'), before);
  tls.share(byName([mx, mail], mail));
  assert.ok(contexts.contextFor('mail.example.com'));
  assert.notEqual(contexts.contextFor('other.example.com'), before);
  tls.close();
});
