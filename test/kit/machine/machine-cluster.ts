import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePage, sectionOf } from '#test/kit/docs/markdown.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import { type Host, Hosts } from '#test/kit/nodes/hosts.ts';
import { Outside } from '#test/kit/nodes/outside.ts';
import { Program } from '#test/kit/program.ts';
import { tempDir } from '#test/kit/temp.ts';
import { install } from './guide.ts';
import { Machine } from './machine.ts';

const PAGE = 'docs/install/several-machines.md';
/** Where an administrator works: neither user of the services reads it. */
export const PLACE = '/opt/cluster';
export const DOMAIN = 'example.com';

/**
 * Machines of a cluster that are set up as "Several machines" says, with the commands of its code blocks alone. Only the addresses
 * are others: those of the network of `Hosts`, in place of 192.0.2.0/24. Outside are a name server with the zone of the
 * domain, and a sink that verifies each message with what that server publishes.
 */
export class MachineCluster implements AsyncDisposable {
  readonly hosts: Hosts;
  readonly outside: Outside;
  readonly #zone: Zone;
  readonly #page: string;
  readonly #machines = new Map<number, Machine>();
  readonly #resources: AsyncDisposableStack;

  private constructor(
    { hosts, outside, zone }: { hosts: Hosts; outside: Outside; zone: Zone },
    page: string,
    resources: AsyncDisposableStack,
  ) {
    this.hosts = hosts;
    this.outside = outside;
    this.#zone = zone;
    this.#page = page;
    this.#resources = resources;
  }

  /** The network, with room for so many machines; none of them runs yet. */
  static async create(size: number): Promise<MachineCluster> {
    await using undo = new AsyncDisposableStack();
    const hosts = undo.use(Hosts.make(size));
    const zone = undo.use(await Zone.start(hosts.outside));
    const outside = undo.use(await Outside.start(hosts.outside, `${hosts.outside.address('mail')}:53`));
    const page = await readFile(join(ROOT, PAGE), 'utf8');
    const cluster = new MachineCluster({ hosts, outside, zone }, page, undo.move());
    cluster.#resources.defer(async () => {
      await Promise.all([...cluster.#machines.values()].map((machine) => machine[Symbol.asyncDispose]()));
    });
    return cluster;
  }

  /** The block of a section that has these words, for these hosts. */
  block(section: string, words: string): string {
    const { blocks } = parsePage(sectionOf(this.#page, section));
    const found = blocks.find(({ text }) => text.includes(words));
    if (found === undefined) throw new Error(`${PAGE}: no block of "${section}" has "${words}"`);
    return found.text.replaceAll('192.0.2.', this.hosts.host(1).address('bus').replace(/\d+$/, ''));
  }

  machine(number: number): Machine {
    const machine = this.#machines.get(number);
    if (machine === undefined) throw new Error(`machine ${number} does not run`);
    return machine;
  }

  /** A machine that has nothing but Sealpost, the one of `tree`. */
  async boot(number: number, tree?: string): Promise<Machine> {
    const machine = await Machine.start({ host: this.hosts.host(number), ...(tree !== undefined && { tree }) });
    this.#machines.set(number, machine);
    await install(machine);
    await machine.must(`install -d -m 700 ${PLACE}\ncd ${PLACE}`);
    return machine;
  }

  /** It loses its power, its network and its disk. */
  async lose(number: number): Promise<void> {
    const machine = this.machine(number);
    this.#machines.delete(number);
    for (const network of ['bus', 'mail'] as const) this.hosts.host(number).cut(network);
    await machine[Symbol.asyncDispose]();
  }

  /** Copy a folder of one machine into the place of others, as with scp. */
  async carry(folder: string, from: number, to: readonly number[]): Promise<void> {
    for (const number of to.filter((other) => other !== from)) {
      const place = this.machine(number).path(PLACE);
      await using copy = new Program('cp', ['-a', this.machine(from).path(join(PLACE, folder)), place]);
      if ((await copy.ended()) !== 0) throw new Error(copy.output);
    }
  }

  /** Steps 3 to 5 of "One node on each machine", with the folder `machine` in place. */
  async setUp(number: number): Promise<void> {
    const machine = this.machine(number);
    const section = 'One node on each machine';
    await machine.must(this.block(section, 'install -d'));
    await machine.write('/etc/sysctl.d/sealpost.conf', this.block(section, 'tcp_retries2'));
    await machine.must('sysctl -p /etc/sysctl.d/sealpost.conf');
    const unit = this.block(section, '[Service]');
    const file = /^# (\/etc\/systemd\/system\/\S+)$/m.exec(unit)?.[1] ?? '';
    const first = this.hosts.host(1).address('bus');
    await machine.write(file, unit.replaceAll(`=${first}`, `=${this.hosts.host(number).address('bus')}`));
    await machine.must(this.block(section, 'systemctl enable'));
  }

  /** Copy the folder `nats` of the one that has the authorities to all these machines, itself too. */
  async carryNats(numbers: readonly number[]): Promise<void> {
    await this.machine(1).must('cp -r cluster/nats .');
    await this.carry('nats', 1, numbers);
  }

  /** The same, and have nats-server read it. */
  async spreadNats(numbers: readonly number[]): Promise<void> {
    await this.carryNats(numbers);
    for (const number of numbers) await this.machine(number).must(this.block('Add a machine', 'systemctl reload'));
  }

  /** Run `sealpost` on a machine, as the document says. */
  async sealpost(number: number, command: string): Promise<string> {
    return this.machine(number).must(commandLine(command));
  }

  /** Publish the record that `keys create` printed. */
  async publish(printed: string): Promise<void> {
    const record = /^\S+\. \d+ IN TXT .*/m.exec(printed)?.[0];
    if (record === undefined) throw new Error(`no record in:\n${printed}`);
    await this.#zone.add(record);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

export const commandLine = (command: string): string =>
  `HOSTNAME=$(hostname -s) sealpost ${command} --config /etc/sealpost/sealpost.yaml`;

/** The zone of the domain, published by hand, on a name server of the outside world. */
class Zone implements AsyncDisposable {
  readonly #resources: AsyncDisposableStack;
  readonly #folder: string;
  readonly #server: Program;
  readonly #address: string;
  readonly #records: string[] = [];

  private constructor(folder: string, server: Program, address: string, resources: AsyncDisposableStack) {
    this.#folder = folder;
    this.#server = server;
    this.#address = address;
    this.#resources = resources;
  }

  static async start(host: Host): Promise<Zone> {
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(await tempDir('zone'));
    const address = host.address('mail');
    await writeFile(
      join(path, 'named.conf'),
      `options { directory "${path}"; listen-on { ${address}; }; listen-on-v6 { none; }; pid-file none; session-keyfile none;
  recursion no; dnssec-validation no; empty-zones-enable no; notify no; };
controls { };
zone "${DOMAIN}" { type primary; file "zone"; };
`,
    );
    await writeFile(join(path, 'zone'), zoneText(address, []));
    const server = undo.use(host.run('named', ['-g', '-n', '1', '-c', join(path, 'named.conf')]));
    await server.waitForOutput(/ running$/m);
    return new Zone(path, server, address, undo.move());
  }

  async add(record: string): Promise<void> {
    this.#records.push(record);
    await writeFile(join(this.#folder, 'zone'), zoneText(this.#address, this.#records));
    const printed = this.#server.output.length;
    this.#server.signal('SIGHUP');
    await this.#server.waitForOutput(/loaded serial/, 10_000, printed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

const zoneText = (address: string, records: readonly string[]): string =>
  `$TTL 1\n@ SOA ns.${DOMAIN}. hostmaster.${DOMAIN}. ${records.length + 1} 3600 600 86400 1\n@ NS ns.${DOMAIN}.\nns.${DOMAIN}. A ${address}\n${records.join('\n')}\n`;
