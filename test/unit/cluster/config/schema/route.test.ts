import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NextHopSpec, parseVia } from '#cluster/config/schema/route.ts';

const VIA: [string, NextHopSpec | undefined][] = [
  ['', undefined],
  ['MX', undefined],
  ['mx ', undefined],
  ['mx:example.com', undefined],
  ['smtp:relay.example', undefined],
  ['smtp://', undefined],
  ['smtp://relay.example/', undefined],
  ['smtp://relay.example:', undefined],
  ['smtp://relay.example:0', undefined],
  ['smtp://relay.example:65536', undefined],
  ['smtp://relay example', undefined],
  ['smtp://-relay.example', undefined],
  ['smtp://192.0.2.300', undefined],
  ['smtp://2001:db8::1', undefined],
  ['smtp://[2001:db8::1', undefined],
  ['smtp://[192.0.2.1]', undefined],
  ['smtp://@relay.example', undefined],
  ['smtp://user:secret@relay.example', undefined],
  ['smtp://us%ZZer@relay.example', undefined],
  ['smtp://us%0aer@relay.example', undefined],
  ['lmtp://user@127.0.0.1:24', undefined],
  ['maildir:', undefined],
  ['maildir://mail', undefined],
  ['http://relay.example', undefined],
  ['mx', { kind: 'mx' }],
  ['capture', { kind: 'capture' }],
  ['discard', { kind: 'discard' }],
  ['smtp://relay', { kind: 'smtp', host: 'relay', port: 25 }],
  ['smtp://Relay.Example.:587', { kind: 'smtp', host: 'relay.example', port: 587 }],
  ['smtp://bücher.example', { kind: 'smtp', host: 'xn--bcher-kva.example', port: 25 }],
  ['smtp://192.0.2.1:2525', { kind: 'smtp', host: '192.0.2.1', port: 2525 }],
  ['smtp://[2001:DB8::1]', { kind: 'smtp', host: '2001:db8::1', port: 25 }],
  ['smtp://[2001:db8::1]:587', { kind: 'smtp', host: '2001:db8::1', port: 587 }],
  ['smtp://me@relay.example:587', { kind: 'smtp', host: 'relay.example', port: 587, user: 'me' }],
  ['smtp://me@x.example@relay.example', { kind: 'smtp', host: 'relay.example', port: 25, user: 'me@x.example' }],
  ['smtp://me%40x.example@relay.example', { kind: 'smtp', host: 'relay.example', port: 25, user: 'me@x.example' }],
  ['smtp://a%3Ab@[::1]:587', { kind: 'smtp', host: '::1', port: 587, user: 'a:b' }],
  ['smtps://mail.isp.example', { kind: 'smtp', host: 'mail.isp.example', port: 465, implicitTls: true }],
  ['smtps://me@[::1]:4650', { kind: 'smtp', host: '::1', port: 4650, implicitTls: true, user: 'me' }],
  ['lmtp://127.0.0.1', { kind: 'lmtp', host: '127.0.0.1', port: 24 }],
  ['lmtp://[::1]:2424', { kind: 'lmtp', host: '::1', port: 2424 }],
  ['maildir:./mail', { kind: 'maildir', folder: './mail' }],
  ['maildir:/var/mail', { kind: 'maildir', folder: '/var/mail' }],
];

for (const [text, expected] of VIA) {
  test(`via "${text}" is ${expected === undefined ? 'refused' : expected.kind}`, () => {
    assert.deepEqual(parseVia(text), expected);
  });
}
