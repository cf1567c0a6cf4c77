import { join } from 'node:path';
import { addUser } from '#cluster/config/users/edit.ts';
import { type Caller, openCaller } from '#services/console/cli/context.ts';
import { askWhy } from '#services/console/reports/mail/why/ask.ts';
import type { Explanation } from '#services/console/reports/mail/why/facts.ts';
import { explained, unknownExplained } from '#services/console/reports/mail/why/sentence.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { Secret } from '#shared/secret.ts';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { FakeMilter } from '#test/kit/filters/fake-milter.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Three nodes that keep two copies of each message, with next hops and DNS that fail in many ways. */

const ZONES = {
  'block.test': '2.0.0.127 A 127.0.0.2',
  'far.test': '@ MX 10 mail\nmail A 192.0.2.1\nnull MX 0 .\noften A 192.0.2.1',
  'broken.test': 'this is not a record of any zone',
};

type Parts = { bind: NameServer; sink: SmtpSink; bad: SmtpSink; milter: FakeMilter; folder: string };

/** What hosts say that do not take all mail, by the local part of the recipient. */
const ANSWERS: Record<string, string> = {
  later: '451 4.7.1 Greylisted, come again',
  bounce: '550 5.1.1 no such user',
};

export class WhySite implements AsyncDisposable {
  readonly nodes: SealpostNode[];
  /** Port of submission on the first node. */
  readonly submission: number;
  /** The command line on the third node. */
  readonly #caller: Caller;
  readonly #resources: AsyncDisposableStack;

  private constructor(nodes: SealpostNode[], submission: number, caller: Caller, resources: AsyncDisposableStack) {
    this.nodes = nodes;
    this.submission = submission;
    this.#caller = caller;
    this.#resources = resources;
  }

  static async start(): Promise<WhySite> {
    await using undo = new AsyncDisposableStack();
    const { path: folder } = undo.use(await tempDir('why'));
    const [nats, bind, milter] = await Promise.all([startNatsCluster(3), NameServer.start(ZONES), filter()]);
    for (const one of [nats, bind, milter]) undo.use(one);
    const sink = undo.use(
      await SmtpSink.start({
        script: ({ verb, address }) => (verb === 'RCPT' ? ANSWERS[localPart(address)] : undefined),
      }),
    );
    const bad = undo.use(
      await SmtpSink.start({
        script: ({ verb, address }) => (verb !== 'RCPT' ? undefined : localPart(address) === 'hang' ? 'hang' : 'close'),
      }),
    );
    const servers = nats.servers.map(({ url }) => url);
    const config = await configOf(folder, { bind, sink, bad, milter, folder }, servers);
    const nek = generateNek('why');
    const ports = await freePorts(6);
    const nodes: SealpostNode[] = [];
    for (const n of [1, 2, 3]) {
      const [port = 0, submission = 0] = ports.slice(2 * n - 2);
      const options = { name: `edge-${n}`, nek, port, config: `${config}\n${listeners(port, submission)}` };
      nodes.push(undo.use(await SealpostNode.create(options)));
    }
    await Promise.all(nodes.map((node) => node.start()));
    const caller = undo.use(await openCaller({ config: nodes[2]?.configFile ?? '' }));
    const site = new WhySite(nodes, ports[1] ?? 0, caller, undo.move());
    // Until a router has another one for the second copies, mail is refused for now.
    const takesMail = (node: number) => waitFor(() => site.send('x@good.test', { node }), { what: `edge-${node}` });
    await Promise.all([1, 2].map(takesMail));
    return site;
  }

  node(n: number): SealpostNode {
    const node = this.nodes[n - 1];
    if (node === undefined) throw new Error(`there is no edge-${n}`);
    return node;
  }

  /** The node of this name. */
  named(name: string | undefined): SealpostNode {
    return this.node(this.nodes.findIndex((node) => node.name === name) + 1);
  }

  /** What `sealpost why` says on the third node: of the newest mail, where there are several. */
  async why(what: string): Promise<Explanation> {
    const { found, asked, about } = await askWhy(this.#caller, what, 5);
    return found[0] === undefined ? unknownExplained(asked) : explained(found[0], Date.now(), about);
  }

  /** The answer, once it is about this cause. */
  async becomes(what: string, cause: string, timeout = 30_000): Promise<Explanation> {
    let last: Explanation | undefined;
    try {
      return await waitFor(
        async () => {
          last = await this.why(what);
          return last.cause === cause ? last : undefined;
        },
        { what: `${what} to be ${cause}`, timeout },
      );
    } catch (cause_) {
      throw new Error(`${what} is not ${cause}: ${JSON.stringify(last)}`, { cause: cause_ });
    }
  }

  /** Send a message to the first node, or another, as a host that may relay. Resolves to its queue id. */
  async send(to: string, { node = 1, from = 'a@example.com', subject = 'plain', rcpt = '' } = {}): Promise<string> {
    await using client = await Dialog.connect(this.node(node).port, { localAddress: '127.0.0.1' });
    await client.expect(220);
    await client.say('EHLO client.test', 250);
    await client.say(`MAIL FROM:<${from}>`, 250);
    await client.say(`RCPT TO:<${to}>${rcpt}`, 250);
    await client.say('DATA', 354);
    const { text } = await client.say(`${message(from, subject)}\r\n.`, 250);
    return /Queued as (\S+)/.exec(text)?.[1] ?? text;
  }

  /** The same, until it is in the queue of that node: a listener may give its mail to another one at first. */
  sendOn(node: number, to: string, subject = 'plain'): Promise<string> {
    const sent = async (): Promise<string | undefined> => {
      const id = await this.send(to, { node, subject });
      return (await this.why(id)).node === `edge-${node}` ? id : undefined;
    };
    return waitFor(sent, { what: `edge-${node} to keep its mail` });
  }

  /** A session with the first node from this address; resolves to the last reply. Lines end with the first that is refused. */
  async say(localAddress: string, ...lines: string[]): Promise<string> {
    await using client = await Dialog.connect(this.node(1).port, { localAddress });
    let last = await client.read();
    for (const line of lines) {
      if (last.code >= 400) break;
      last = await client.command(line);
    }
    return `${last.code} ${last.text}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

export function message(from: string, subject: string): string {
  const author = from === '' ? 'postmaster@example.com' : from;
  return `From: ${author}\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <${subject}@client.test>\r\nSubject: ${subject}\r\n\r\ntext`;
}

function localPart(address: string): string {
  return address.split('@')[0] ?? '';
}

/** Does what the subject says. */
function filter(): Promise<FakeMilter> {
  let subject = '';
  return FakeMilter.start(
    ({ code, data }) => {
      if (code === 'L' && data.startsWith('Subject|')) subject = data.split('|')[1] ?? '';
      if (code !== 'E') return undefined;
      if (subject.includes('quarantine')) return ['qodd\0', 'c'];
      if (subject.includes('discard')) return ['d'];
      return subject.includes('reject') ? ['r'] : undefined;
    },
    { actions: 0x20, steps: 0x10 },
  );
}

function listeners(port: number, submission: number): string {
  return [
    'listeners:',
    `  - { name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none }`,
    `  - { name: submission, kind: submission, address: 127.0.0.1, port: ${submission}, tls: starttls-required }`,
  ].join('\n');
}

async function configOf(folder: string, { bind, sink, bad, milter }: Parts, servers: string[]): Promise<string> {
  const { certificateFile, keyFile } = await writeCertificate(folder, { names: ['localhost'] });
  const users = join(folder, 'users.yaml');
  await addUser(users, { name: 'alice', password: new Secret('right'), addresses: ['bob@example.com'] });
  const host = `127.0.0.1:${sink.port}`;
  return `
bus: { servers: ${JSON.stringify(servers)} }
queue: { copies: 2, takeover-after: 10s }
dsn: { null-reverse-path: hold }
dns: { servers: ["${bind.server}"], timeout: 1s }
rates:
  destinations: [{ to: limit.test, messages: 1/h }]
  senders: [{ from: often.far.test, messages: 1/h }]
domains:
  - { name: example.com, local: true, signing: { mode: off } }
  - { name: enforce.example, signing: { mode: enforce }, keys: { proof: none } }
directory: { users: ${users} }
authentication: { delay: 0s }
tls: { certificate: ${certificateFile}, key: ${keyFile} }
relay: { allow: { hosts: [127.0.0.1] } }
limits: { message-size: 64KB, header-size: 32KB }
filters: [{ name: odd, type: milter, url: "${milter.url}" }]
checks:
  exempt: [127.0.0.8]
  connections-per-client: 2
  sender-domain: { enabled: true }
  helo: { refuse: [bare-address] }
  dns-lists: { block: [{ zone: block.test }] }
  greylist: { enabled: true, delay: 1h, clients: [127.0.0.4, 127.0.0.5] }
routes:
  - { to: "*", via: mx }
  - { to: good.test, via: "smtp://${host}" }
  - { to: bad.test, via: "smtp://127.0.0.1:${bad.port}" }
  - { to: refused.test, via: "smtp://127.0.0.1:1" }
  - { to: tls.test, via: "smtp://${host}", tls: required }
  - { to: login.test, via: "smtp://me@${host}", password: secret }
  - { to: nohost.test, via: "smtp://nohost.far.test" }
  - { to: limit.test, via: "smtp://${host}" }
  - { to: capture.test, via: capture }
  - { to: example.com, via: capture }`;
}
