import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decoyHash,
  formatPasswordHash,
  hashPassword,
  parsePasswordHash,
  verifyPassword,
} from '#cluster/config/users/password.ts';

/** Made by the argon2 reference implementation (`argon2 … -id -v 13 -e`) and its own test suite. */
const KNOWN: [phc: string, password: string][] = [
  ['$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$fTTXM7e3iTx/veQKZK106LdvBj581I9AB/3fq3acr8I', 'secret'],
  ['$argon2id$v=19$m=256,t=3,p=4$c2FsdHNhbHQ$NWaxf8hZggDrqgttS5fMmhyGDCsC6Cur', 'password'],
  ['$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'password'],
];

for (const [phc, password] of KNOWN) {
  test(`the reference implementation's ${phc.slice(0, 32)}`, async () => {
    const parsed = parsePasswordHash(phc);
    assert.ok(parsed);
    assert.equal(formatPasswordHash(parsed), phc);
    assert.equal(await verifyPassword(parsed, Buffer.from(password)), true);
    assert.equal(await verifyPassword(parsed, Buffer.from(`${password} `)), false);
  });
}

const REFUSED: [phc: string, why: string][] = [
  ['', 'empty'],
  ['secret', 'clear text'],
  ['$2b$12$abcdefghijklmnopqrstuuAbCdEfGhIjKlMnOpQrStUvWxYz01234', 'bcrypt'],
  ['$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZwcHKfbftvj+qf+YFY4NeBbtA', 'argon2i'],
  ['$argon2id$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'version 16'],
  ['$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'no pass'],
  ['$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'too little memory'],
  ['$argon2id$v=19$m=2000000,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'too much memory'],
  ['$argon2id$v=19$m=65536,t=2,p=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'no lane'],
  ['$argon2id$v=19$m=65536,t=2,p=1$c29t$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'a salt below 8 bytes'],
  ['$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc=\n', 'padding'],
];

for (const [phc, why] of REFUSED) {
  test(`refused: ${why}`, () => assert.equal(parsePasswordHash(phc), undefined));
}

async function hashed(password: string) {
  const parsed = parsePasswordHash(await hashPassword(password));
  assert.ok(parsed);
  return parsed;
}

test('a new hash has its own salt, the recommended cost, and verifies', async () => {
  const [one, two] = await Promise.all([hashPassword('correct horse'), hashPassword('correct horse')]);
  assert.match(one, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  assert.notEqual(one, two);
  assert.equal(await verifyPassword(await hashed('correct horse'), Buffer.from('correct horse')), true);
});

test('composed and decomposed characters are one password', async () => {
  assert.equal(await verifyPassword(await hashed('Z\u00fcrich'), Buffer.from('Zu\u0308rich')), true);
  assert.equal(await verifyPassword(await hashed('a\u00a0b'), Buffer.from('a b')), true);
});

test('bytes that are not UTF-8 match nothing, not even a replacement character', async () => {
  assert.equal(await verifyPassword(await hashed('\ufffd'), Buffer.from([0xff])), false);
  assert.equal(await verifyPassword(await hashed('\ufffd'), Buffer.from('\ufffd')), true);
});

test('the empty password is never right', async () => {
  assert.equal(await verifyPassword(await hashed(''), new Uint8Array(0)), false);
});

test('a decoy costs the same and matches nothing', async () => {
  const decoy = decoyHash();
  const { memory, passes, parallelism } = await hashed('x');
  assert.deepEqual(
    { memory: decoy.memory, passes: decoy.passes, parallelism: decoy.parallelism },
    { memory, passes, parallelism },
  );
  assert.equal(await verifyPassword(decoy, Buffer.from('x')), false);
});
