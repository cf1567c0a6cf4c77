import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Caller, openCaller } from '#services/console/cli/context.ts';
import { recordOf } from '#services/console/reports/keys/record.ts';
import { askWhy } from '#services/console/reports/mail/why/ask.ts';
import type { Explanation } from '#services/console/reports/mail/why/facts.ts';
import { explained, unknownExplained } from '#services/console/reports/mail/why/sentence.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import type { Calls } from '#services/topology.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { FakeMilter } from '#test/kit/filters/fake-milter.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { type SinkAction, type SinkMessage, type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';
import { configOf, type Ports, WRONG_SECRET, ZONES } from './config.ts';

/**
 * Two nodes on one bus. The first has its signer and its credential-store in processes of their own; the second takes and
 * delivers mail only, and asks a mail filter. No next hop is tried again within an hour by itself: what leaves, leaves
 * because somebody did what was said.
 */

const FAR = 'sink A 127.0.0.1';

type Parts = {
  one: SealpostNode;
  two: SealpostNode;
  zones: ZoneServers;
  names: NameServer;
  ports: Ports;
  /** The name of a next hop, and a secret that no zone has. */
  hop: string;
  wrongSecret: string;
  /** What next hops say to a recipient, by its local part. */
  answers: Map<string, SinkAction>;
  sinks: SmtpSink[];
  resources: AsyncDisposableStack;
};

export class AdviceSite implements AsyncDisposable {
  readonly parts: Parts;
  /** The services, as the command line reaches them. What brings a state about is asked so: a command takes half a second. */
  readonly caller: Caller;
  #filter: FakeMilter | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(parts: Parts, caller: Caller) {
    this.parts = parts;
    this.caller = caller;
  }

  static async start(): Promise<AdviceSite> {
    await using undo = new AsyncDisposableStack();
    const [nats, names, zones, authority] = await Promise.all([
      startNatsServer({ jetStream: true }),
      NameServer.start({ 'far.test': FAR }),
      ZoneServers.start(Object.fromEntries(ZONES.map((name) => [name, '']))),
      createAuthority(),
    ]);
    for (const one of [nats, names, zones]) undo.use(one);
    const [one = 0, two = 0, down = 0, dead = 0, milter = 0] = await freePorts(5);
    const ports = { one, two, down, dead, milter };
    const answers = new Map<string, SinkAction>();
    const sinks: SmtpSink[] = [];
    const sink = async (options: SinkOptions): Promise<number> => {
      sinks.push(undo.use(await SmtpSink.start(options)));
      return sinks.at(-1)?.port ?? 0;
    };
    const script: SinkOptions['script'] = ({ verb, address, session }) => {
      if (verb === 'AUTH') return session.auth?.password === 'right' ? undefined : '535 5.7.8 wrong password';
      return verb === 'RCPT' ? answers.get(address.split('@')[0] ?? '') : undefined;
    };
    const plain = await sink({ script });
    const secure = await sink({ tls: await authority.issue({ names: ['127.0.0.1'] }) });
    const login = await sink({ script, extensions: ['AUTH PLAIN'] });
    const config = configOf({ bus: nats.url, names, zones, ports: { ...ports, plain, secure, login } });
    const nek = generateNek('advice');
    const node = async (name: string, port: number, more = ''): Promise<SealpostNode> => {
      const created = undo.use(await SealpostNode.create({ name, nek, port, config: `${config}\n${more}` }));
      await writeFile(join(created.folder, 'ca.pem'), authority.ca);
      return created;
    };
    const nodes = {
      one: await node('edge-1', one),
      two: await node('edge-2', two, `filters: [{ name: odd, type: milter, url: "tcp://127.0.0.1:${milter}" }]`),
    };
    const filter = await FakeMilter.start(undefined, { port: milter });
    await nodes.one.start('credential-store');
    await Promise.all([
      nodes.one.start('signer'),
      nodes.one.start('listener', 'policy', 'router'),
      nodes.two.start('listener', 'policy', 'router'),
    ]);
    const caller = undo.use(await openCaller({ config: nodes.one.configFile }));
    const resources = undo.move();
    const hop = `smtp://localhost:${plain}`;
    const site = new AdviceSite(
      { ...nodes, hop, wrongSecret: WRONG_SECRET, zones, names, ports, answers, sinks, resources },
      caller,
    );
    site.#filter = filter;
    return site;
  }

  get keys(): Calls<'operator', 'credential-store'> {
    return this.caller.client(credentialStoreContract);
  }

  get router(): Calls<'operator', 'router'> {
    return this.caller.client(routerContract);
  }

  /** What `sealpost why` says of the newest mail that is found. */
  async why(what: string): Promise<Explanation> {
    const { found, asked, about } = await askWhy(this.caller, what, 1);
    return found[0] === undefined ? unknownExplained(asked) : explained(found[0], Date.now(), about);
  }

  /** Waits until that is the cause. */
  async becomes(what: string, cause: string): Promise<void> {
    let last: Explanation | undefined;
    const isIt = async (): Promise<boolean> => {
      last = await this.why(what);
      return last.cause === cause;
    };
    await waitFor(isIt, { what: `${what} to be ${cause}`, timeout: 60_000 }).catch((error: unknown) => {
      throw new Error(`${what} is not ${cause}: ${JSON.stringify(last)}`, { cause: error });
    });
  }

  /** Waits until a next hop has taken mail for this recipient. */
  async becomesTaken(to: string): Promise<void> {
    await waitFor(() => this.arrived(to), { what: `mail to ${to}` });
  }

  /** Waits until a next hop was asked for this recipient in vain. */
  async becomesRefused(local: string): Promise<void> {
    const asked = (): boolean =>
      this.parts.sinks.some(({ sessions }) =>
        sessions.some(({ lines }) => lines.some((line) => line.startsWith(`RCPT TO:<${local}@`))),
      );
    await waitFor(asked, { what: `an attempt at ${local}` });
  }

  /** The line of a zone file that publishes a key. */
  async recordOf(domain: string, selector: string): Promise<string> {
    return recordOf(await this.keys['key-show']({ domain, selector })).zone;
  }

  readonly keyIs = async (domain: string, selector: string, state: KeyStatus['state']): Promise<void> => {
    await waitFor(async () => (await this.keys['key-show']({ domain, selector })).state === state, {
      what: `${selector} of ${domain} to be ${state}`,
      timeout: 60_000,
    });
  };

  /** A key of a domain outside DNS, that signs. */
  readonly activeKey = async (domain: string, selector: string): Promise<void> => {
    await this.keys['key-create']({ domain, selector, algorithm: 'ed25519' });
    await this.keyIs(domain, selector, 'active');
  };

  async stopServices(node: SealpostNode, ...services: string[]): Promise<void> {
    await node.programs.get(services.join('+'))?.stop();
  }

  /** Waits until the signer has heard of every change of keys: until then it signs with those that it has. */
  readonly heard = async (): Promise<void> => {
    const { revision } = await this.keys['status-show']({});
    const hasIt = async (): Promise<boolean> =>
      (await this.keys['status-show']({})).holders.every((holder) => holder.revision >= revision);
    await waitFor(hasIt, { what: 'the signer to follow', timeout: 60_000 });
  };

  /** The mail filter of the second node. */
  async startFilter(): Promise<void> {
    this.#filter = await FakeMilter.start(undefined, { port: this.parts.ports.milter });
  }

  async stopFilter(): Promise<void> {
    await this.#filter?.[Symbol.asyncDispose]();
    this.#filter = undefined;
  }

  /** A next hop where there was none. */
  async startSink(port: number): Promise<void> {
    this.parts.sinks.push(this.parts.resources.use(await SmtpSink.start({ port })));
  }

  /** Change the text of the configuration of a node, as an editor does. */
  edit(node: SealpostNode, before: string, after: string): Promise<unknown> {
    this.#writing = this.#writing.then(async () => {
      const text = await readFile(node.configFile, 'utf8');
      if (!text.includes(before)) throw new Error(`sealpost.yaml has no ${before}`);
      await writeFile(node.configFile, text.replaceAll(before, after));
    });
    return this.#writing;
  }

  /** Publish a line of a zone file that Sealpost has printed, in place of what is there. */
  async publish(line: string): Promise<void> {
    // The parentheses are those of a zone file (RFC 1035 §5.1), which nsupdate does not know.
    const record = line.replace(/[()]/g, '');
    const [name = ''] = record.split(' ');
    const complaint = await this.parts.zones.nsupdate([`update delete ${name} TXT`, `update add ${record}`]);
    if (complaint !== '') throw new Error(complaint);
  }

  /** Send a message; resolves to the last reply, without asking again. */
  async say(
    from: string,
    to: string,
    { node = this.parts.one, localAddress = '127.0.0.1' }: { node?: SealpostNode; localAddress?: string } = {},
  ): Promise<string> {
    await using client = await Dialog.connect(node.port, { localAddress });
    const author = from === '' ? 'postmaster@example.com' : from;
    const text = `From: ${author}\r\nTo: ${to}\r\nSubject: advice\r\n\r\ntext\r\n.`;
    let last = await client.read();
    for (const line of ['EHLO client.test', `MAIL FROM:<${from}>`, `RCPT TO:<${to}>`, 'DATA', text]) {
      if (last.code >= 400) break;
      last = await client.command(line);
    }
    return `${last.code} ${last.text}`;
  }

  /** Send a message as a host that may relay, until it is accepted; resolves to its queue id. */
  send(from: string, to: string, node = this.parts.one): Promise<string> {
    return waitFor(async () => /Queued as (\S+)/.exec(await this.say(from, to, { node }))?.[1], {
      what: `${node.name} to take mail to ${to}`,
    });
  }

  /** What a next hop took for a recipient. */
  arrived(to: string): SinkMessage | undefined {
    return this.parts.sinks
      .flatMap(({ messages }) => messages)
      .find(({ recipients }) => recipients.some(({ address }) => address === to));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopFilter();
    await this.parts.resources.disposeAsync();
  }
}
