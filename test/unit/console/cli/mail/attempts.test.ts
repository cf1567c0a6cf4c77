import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attemptLines } from '#services/console/cli/mail/attempts.ts';
import { reply } from '#shared/mail/reply.ts';

/** Attempts as `queue show` lists them. */

type Entry = Parameters<typeof attemptLines>[0];
type Recipient = Entry['recipients'][number];

const MAIL: Omit<Entry, 'recipients'> = {
  ...{
    queueId: '1M8PN4WCA00WCDB4',
    node: 'edge-1',
    state: 'active',
    arrived: 0,
    size: 17,
    reversePath: 'a@sender.test',
  },
  origin: {
    ...{ session: 'S', listener: 'mx', kind: 'relay' },
    client: { address: '192.0.2.9', name: null, helo: 'client.test' },
  },
  trace: 'T',
};

const delivered = (address: string, more: Partial<Recipient> = {}): Recipient => ({
  recipient: { address },
  status: { state: 'delivered', outcome: { at: 1000, host: 'mx2', reply: reply(250, '2.0.0', 'Ok') } },
  nextHop: 'mx:x.test',
  ...more,
});
const others = [
  { host: 'mx1', reply: reply(421, '4.3.2', 'going down') },
  { reply: reply(451, '4.4.3', 'DNS is away') },
];

test('one attempt at one host is in the table of recipients alone', () => {
  assert.deepEqual(attemptLines({ ...MAIL, recipients: [delivered('b@x.test')] }), []);
});

test('the other hosts of an attempt stand below it, once for recipients that share them', () => {
  const recipients = [delivered('b@x.test', { others }), delivered('c@x.test', { others })];
  const lines = attemptLines({ ...MAIL, recipients })
    .join('\n')
    .split('\n');
  const words = lines.slice(2).map((line) => line.trim().split(/ {2,}/).slice(-3).join(' | '));
  assert.deepEqual(words, [
    '2 recipients | mx:x.test | 250 2.0.0 Ok (mx2)',
    'other host | 421 4.3.2 going down (mx1)',
    'other host | 451 4.4.3 DNS is away',
  ]);
});

test('recipients with the same result after different hosts have rows of their own', () => {
  const recipients = [delivered('b@x.test', { others }), delivered('c@x.test', { others: others.slice(1) })];
  const text = attemptLines({ ...MAIL, recipients }).join('\n');
  assert.match(text, /b@x\.test[\s\S]*421[\s\S]*451[\s\S]*c@x\.test[\s\S]*451/);
});
