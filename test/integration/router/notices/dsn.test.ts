import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { reply } from '#shared/mail/reply.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** Notices as Python's email package reads them: a parser that we did not write. */
const READER = `
import email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.SMTPUTF8)
def defects(part):
    return [str(d) for d in part.defects] + [x for p in (part.iter_parts() if part.is_multipart() else []) for x in defects(p)]
parts = m.get_payload()
status = parts[1].get_payload()
json.dump({
  'type': m.get_content_type(), 'report': m.get_param('report-type'), 'defects': defects(m),
  'from': m['From'].addresses[0].addr_spec, 'to': m['To'].addresses[0].addr_spec.encode('utf-8', 'surrogateescape').decode('utf-8'),
  'parts': [p.get_content_type() for p in parts],
  'groups': [dict(g.items()) for g in status] if isinstance(status, list) else status,
  'subject': parts[2].get_payload() if isinstance(parts[2].get_payload(), str) else parts[2].get_payload()[0]['Subject'],
}, sys.stdout)
`;

type Report = {
  type: string;
  report: string;
  defects: string[];
  from: string;
  to: string;
  parts: string[];
  groups: Record<string, string>[] | string;
  subject: string;
};

function parse(text: string): Report {
  const python = spawnSync('python3', ['-c', READER], { input: Buffer.from(text, 'latin1') });
  assert.equal(python.status, 0, python.stderr.toString());
  return JSON.parse(python.stdout.toString());
}

const LONG = `5.7.1 ${'a very long refusal that goes on and on '.repeat(20)}end`;

for (const ret of ['FULL', 'HDRS'] as const) {
  test(`a failure report with RET=${ret} is well-formed to another parser`, async (t) => {
    if (spawnSync('python3', ['-V']).status !== 0) return t.skip('needs python3');
    await using folder = await tempDir();
    await using router = await TestRouter.start(folder.path);
    const recipients = [
      { address: 'bob@peer.example', orcpt: 'rfc822;Bob@Old.example' },
      { address: 'carol@peer.example', original: 'info@sender.example' },
    ];
    await router.send({ envelope: envelope(recipients, { ret, envid: 'QQ+1' }), originating: true });
    await (await router.delivery.next()).end('failed', reply(550, '5.7.1', LONG));
    const given = await router.delivery.next();
    const report = parse(await given.content());
    await given.end('delivered', OK);
    assert.deepEqual(report.defects, []);
    assert.deepEqual([report.type, report.report], ['multipart/report', 'delivery-status']);
    assert.deepEqual([report.from, report.to], ['MAILER-DAEMON@mx.sealpost.test', 'alice@sender.example']);
    assert.deepEqual(report.parts, [
      'text/plain',
      'message/delivery-status',
      ret === 'FULL' ? 'message/rfc822' : 'text/rfc822-headers',
    ]);
    assert.match(report.subject, /Hello/);
    const [message, bob, carol] = report.groups as Record<string, string>[];
    assert.deepEqual(Object.keys(message ?? {}), ['Reporting-MTA', 'Original-Envelope-Id', 'Arrival-Date']);
    assert.equal(message?.['Original-Envelope-Id'], 'QQ+1');
    assert.equal(bob?.['Original-Recipient'], 'rfc822; Bob@Old.example');
    assert.equal(bob?.['Final-Recipient'], 'rfc822; bob@peer.example');
    assert.equal(carol?.['Original-Recipient'], 'rfc822; info@sender.example');
    assert.equal(carol?.['Status'], '5.7.1');
    assert.ok(carol?.['Diagnostic-Code']?.replace(/\s+/g, ' ').endsWith('and on end'));
  });
}

test('an international report keeps its characters', async (t) => {
  if (spawnSync('python3', ['-V']).status !== 0) return t.skip('needs python3');
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const message = Buffer.from('From: <älice@sender.example>\r\nSubject: Grüße\r\n\r\nHallo\r\n');
  const to = envelope(['bøb@peer.example'], { reversePath: 'älice@sender.example', smtpUtf8: true });
  await router.send({ envelope: to, message, facts: { eightBitHeader: true } });
  await (await router.delivery.next()).end('failed', reply(550, '5.1.1', 'weiß nicht'));
  const given = await router.delivery.next();
  assert.equal(given.job.smtpUtf8, true);
  assert.equal(given.job.eightBitBody, true);
  const text = await given.content();
  const report = parse(text);
  await given.end('delivered', OK);
  assert.deepEqual(report.defects, []);
  assert.equal(report.to, 'älice@sender.example');
  assert.deepEqual(report.parts, ['text/plain', 'message/global-delivery-status', 'message/global-headers']);
  assert.match(Buffer.from(text, 'latin1').toString(), /^Final-Recipient: utf-8; bøb@peer\.example\r$/m);
});
