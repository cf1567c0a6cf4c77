import { isIPv6 } from 'node:net';
import type { FakeDns } from '#test/kit/dns/fake-dns.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog, type DialogReply } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A message from a client elsewhere: its address goes before the session in the PROXY protocol. */
export type FromOutside = { client: string; helo: string; from: string; message: Buffer };

/** `refused`: the reply that was not 2xx or 3xx, and to what; `fields`: the header fields put in front, unfolded. */
export type Checked = { refused?: { command: string; reply: DialogReply }; fields: string[] };

/** A node whose listener believes the PROXY protocol of this machine, and that takes mail for here.test. */
export class CheckingNode implements AsyncDisposable {
  readonly #node: SealpostNode;
  readonly #sink: SmtpSink;
  readonly #port: number;
  #sent = 0;

  private constructor(node: SealpostNode, sink: SmtpSink, port: number) {
    this.#node = node;
    this.#sink = sink;
    this.#port = port;
  }

  /** `more`: further sections of its configuration. */
  static async start(dns: FakeDns, more = ''): Promise<CheckingNode> {
    await using undo = new AsyncDisposableStack();
    const sink = undo.use(await SmtpSink.start());
    const port = await freePort();
    const config = [
      `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, proxy: [127.0.0.1] }]`,
      'domains: [{ name: here.test, local: true, keys: { proof: none } }]',
      `dns: { servers: ["${dns.server}"] }`,
      'limits: { sessions-per-client: 1000 }',
      more,
    ].join('\n');
    const node = undo.use(await SealpostNode.create({ sink: sink.port, config }));
    await node.start();
    undo.move();
    return new CheckingNode(node, sink, port);
  }

  /** Send it, and resolve to what came of it: a refusal, or what the next hop got. */
  async check({ client, helo, from, message }: FromOutside): Promise<Checked> {
    const to = `v${++this.#sent}@here.test`;
    await using dialog = await Dialog.connect(this.#port, { timeout: 60_000 });
    const family = isIPv6(client) ? 'TCP6' : 'TCP4';
    dialog.send(`PROXY ${family} ${client} ${isIPv6(client) ? '2001:db8::25' : '192.0.2.25'} 40000 25\r\n`);
    const steps: [command: string, run: () => Promise<DialogReply>][] = [
      ['CONNECT', () => dialog.read()],
      ...[`EHLO ${helo}`, `MAIL FROM:<${from}>`, `RCPT TO:<${to}>`, 'DATA'].map(
        (line): [string, () => Promise<DialogReply>] => [line, () => dialog.command(line)],
      ),
      ['MESSAGE', () => transfer(dialog, message)],
    ];
    for (const [command, run] of steps) {
      const reply = await run();
      if (reply.code >= 400) return { refused: { command, reply }, fields: [] };
    }
    const arrived = await waitFor(
      () => this.#sink.messages.find((one) => one.recipients.some(({ address }) => address === to)),
      { timeout: 30_000, what: `the message to ${to} at the next hop` },
    );
    return { fields: leadingFields(arrived.data) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node[Symbol.asyncDispose]();
    await this.#sink[Symbol.asyncDispose]();
  }
}

function transfer(dialog: Dialog, message: Buffer): Promise<DialogReply> {
  const text = message.toString('latin1').replace(/^\./gm, '..');
  const ended = text.endsWith('\r\n') ? text : `${text}\r\n`;
  dialog.send(Buffer.from(`${ended}.\r\n`, 'latin1'));
  return dialog.read();
}

/** The fields above and at the first Received, which is ours. */
function leadingFields(data: Buffer): string[] {
  const text = data.toString('latin1');
  const header = text.slice(0, text.indexOf('\r\n\r\n'));
  const fields = header.replace(/\r\n[ \t]+/g, ' ').split('\r\n');
  const ours = fields.findIndex((field) => /^received:.*edge\.test/i.test(field));
  return fields.slice(
    0,
    Math.max(
      ours,
      fields.findIndex((field) => /^authentication-results:/i.test(field)),
    ) + 1,
  );
}

/** The results of a method in the Authentication-Results field, in its order: `pass`, `fail` … */
export function resultsOf(checked: Checked, method: 'spf' | 'dkim' | 'arc' | 'dmarc'): string[] {
  const field = checked.fields.find((one) => /^authentication-results: *edge\.test *;/i.test(one)) ?? '';
  return [...field.matchAll(new RegExp(`; *${method}=([a-z]+)(?= |;|$)`, 'g'))].map(([, result = '']) => result);
}
