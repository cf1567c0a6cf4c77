import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ResultsReply } from '#services/console/schemas/authentication.ts';
import { Type } from '#shared/dns/message.ts';
import { TestBrowser } from '#test/kit/browser/browser.ts';
import { openConsole } from '#test/kit/browser/console.ts';
import { ConsoleSite } from '#test/kit/console/site.ts';
import { answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { freePort } from '#test/kit/free-port.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';

/** What was found out about mail from elsewhere, from the port on which it came to the API and the page. */

const TEXTS: Readonly<Record<string, string>> = {
  'good.test': 'v=spf1 ip4:198.51.100.1 -all',
  '_dmarc.good.test': 'v=DMARC1; p=none',
  'forged.test': 'v=spf1 -all',
  '_dmarc.forged.test': 'v=DMARC1; p=quarantine',
};

describe('authentication results of received mail', { timeout: 240_000 }, () => {
  const undo = new AsyncDisposableStack();
  let site: ConsoleSite;
  let port: number;

  before(async () => {
    const dns = undo.use(
      await FakeDns.start((query) => {
        const { name = '', type } = query.questions[0] ?? {};
        const text = type === Type.TXT ? TEXTS[name.toLowerCase()] : undefined;
        return text === undefined ? answerTo(query, { rcode: 3 }) : answerTo(query, { answers: [txt(name, text)] });
      }),
    );
    port = await freePort();
    site = undo.use(
      await ConsoleSite.start({
        config: [
          `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, proxy: [127.0.0.1] }]`,
          'relay: { allow: { domains: [other.example] } }',
          'domains: [{ name: example.com, local: true, keys: { proof: none } }]',
          `dns: { servers: ["${dns.server}"] }`,
          'routes: [{ to: "*", via: discard }]',
        ].join('\n'),
      }),
    );
    await send('198.51.100.1', 'a@good.test', 'alice@example.com');
    await send('198.51.100.9', 'a@good.test', 'alice@other.example');
    await send('198.51.100.9', 'b@forged.test', 'alice@other.example');
  });
  after(() => undo.disposeAsync());

  async function send(client: string, from: string, to: string): Promise<void> {
    await using dialog = await Dialog.connect(port, { timeout: 30_000 });
    dialog.send(`PROXY TCP4 ${client} 198.51.100.25 40000 25\r\n`);
    await dialog.expect(220);
    await dialog.say('EHLO client.test', 250);
    await dialog.say(`MAIL FROM:<${from}>`, 250);
    await dialog.say(`RCPT TO:<${to}>`, 250);
    await dialog.say('DATA', 354);
    await dialog.say(`From: <${from}>\r\nSubject: Hello\r\n\r\nHow are you?\r\n.`, 250);
  }

  async function ask(who: Parameters<ConsoleSite['program']>[0], query = ''): Promise<ResultsReply> {
    using client = site.program(who);
    const { status, text, json } = await client.get(`/api/authentication/results${query}`);
    assert.equal(status, 200, text);
    return json;
  }

  const shown = ({ rows }: ResultsReply) =>
    rows.map(({ name, messages, spfPass, spfFail, dmarcPass, dmarcFail, quarantine, others, other }) =>
      [name, messages, spfPass, spfFail, dmarcPass, dmarcFail, quarantine, other ?? others].join(' '),
    );

  test('are added up by domain and by client, those that fail first', async () => {
    const found = await ask('watcher');
    assert.deepEqual(shown(found), ['good.test 2 1 1 1 1 0 2', 'forged.test 1 0 1 0 1 1 198.51.100.9']);
    assert.deepEqual([found.sum.messages, found.sum.dmarcFail, found.more, found.silent], [3, 2, 0, []]);
    assert.deepEqual(shown(await ask('watcher', '?by=source')), [
      '198.51.100.9 2 0 2 0 2 1 2',
      '198.51.100.1 1 1 0 1 0 0 good.test',
    ]);
    assert.deepEqual(shown(await ask('watcher', '?by=source&domain=Forged.test')), [
      '198.51.100.9 1 0 1 0 1 1 forged.test',
    ]);
    assert.deepEqual(shown(await ask('watcher', '?source=198.51.100.1')), ['good.test 1 1 0 1 0 0 198.51.100.1']);
  });

  test('are those of her mail alone, for a domain administrator', async () => {
    assert.deepEqual(shown(await ask('ours')), ['good.test 1 1 0 1 0 0 198.51.100.1']);
    assert.deepEqual(shown(await ask('theirs')), [
      'forged.test 1 0 1 0 1 1 198.51.100.9',
      'good.test 1 0 1 0 1 0 198.51.100.9',
    ]);
  });

  describe('in a browser', needs('chromium'), () => {
    test('lead from a domain to its clients and messages', async () => {
      await using browser = await TestBrowser.start();
      await using window = await openConsole(browser, site.node, '/authentication');
      const { page } = window;
      await page.getByRole('link', { name: 'Mail received' }).click();
      await page.getByText('some fail').waitFor();
      await page.getByText('all fail').waitFor();
      await window.checkScreens();

      await page.getByRole('link', { name: /forged\.test/ }).click();
      await page.getByText('Only mail in the name of forged.test.').waitFor();
      await page.getByText('198.51.100.9').first().waitFor();
      await window.checkScreens();
      await page.getByRole('link', { name: 'Its messages' }).click();
      await page.getByText('b@forged.test').first().waitFor();
    });
  });
});
