import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { Program, type ProgramOptions } from '#test/kit/program.ts';
import { locate, needs, type Peer } from '#test/kit/runner/peers.ts';

/**
 * Hosts of a network of their own, as Linux network namespaces: each has its own loopback, ports and addresses, and two
 * legs, one in the network of the bus and one in that of mail. A further namespace holds the switches, and one more is
 * the outside world, with a leg in the mail network alone. Nothing of it touches the network of this machine, and no
 * address of it is reached from there. Files are shared by all.
 *
 *      outside ── mail ──┬───────┬───────┐
 *                      host 1  host 2  host 3 …
 *                        └───────┴───────┴── bus
 *
 * A link that is cut is down at the switch, so nothing passes in either direction and neither end notices: open
 * connections wait, as when a cable is pulled. The host reaches its own addresses all the same.
 *
 * Namespaces are named after the process that made them: what a killed one left is removed at the next start.
 */
export const NETWORKS = ['bus', 'mail'] as const;
export type Network = (typeof NETWORKS)[number];

const PREFIX = 'sealpost-test';
const NAMESPACES = '/run/netns';
const NUMBER = { bus: 1, mail: 2 } as const satisfies Record<Network, number>;
/** The last part of the outside world's address. */
const OUTSIDE = 200;

/** Options of a test that needs hosts, and these programs. */
export function needsHosts(...peers: Peer[]): { skip: string | false } {
  if (process.getuid?.() !== 0) return { skip: 'needs root, to make network namespaces' };
  return needs('ip', ...peers);
}

/** One of them: a place for programs, with links that can be cut. */
export class Host {
  /** From 1. */
  readonly number: number;
  /** `host-1`. */
  readonly name: string;
  readonly #namespace: string;
  readonly #switch: string;

  constructor(number: number, name: string, namespace: string, switchNamespace: string) {
    this.number = number;
    this.name = name;
    this.#namespace = namespace;
    this.#switch = switchNamespace;
  }

  address(network: Network): string {
    return `10.77.${NUMBER[network]}.${this.number}`;
  }

  /** What stands in front of a command to run it here. */
  get within(): readonly string[] {
    return ['ip', 'netns', 'exec', this.#namespace];
  }

  run(program: string, args: readonly string[], options: ProgramOptions = {}): Program {
    return new Program(program, args, { ...options, within: this.within });
  }

  cut(network: Network): void {
    ip('-n', this.#switch, 'link', 'set', port(network, this.number), 'down');
  }

  join(network: Network): void {
    ip('-n', this.#switch, 'link', 'set', port(network, this.number), 'up');
  }
}

export class Hosts implements Disposable {
  readonly hosts: readonly Host[];
  readonly outside: Host;
  readonly #namespaces: readonly string[];

  private constructor(hosts: Host[], outside: Host, namespaces: string[]) {
    this.hosts = hosts;
    this.outside = outside;
    this.#namespaces = namespaces;
  }

  static make(size: number): Hosts {
    removeLeftOvers();
    const run = `${PREFIX}-${process.pid}-${++runs}`;
    const switchNamespace = `${run}-switch`;
    const hosts = Array.from(
      { length: size },
      (_, i) => new Host(i + 1, `host-${i + 1}`, `${run}-host-${i + 1}`, switchNamespace),
    );
    const outside = new Host(OUTSIDE, 'outside', `${run}-outside`, switchNamespace);
    const namespaces = [switchNamespace, `${run}-outside`, ...hosts.map(({ name }) => `${run}-${name}`)];
    for (const namespace of namespaces) made.add(namespace);
    try {
      for (const namespace of namespaces) {
        ip('netns', 'add', namespace);
        ip('-n', namespace, 'link', 'set', 'lo', 'up');
      }
      for (const network of NETWORKS) {
        ip('-n', switchNamespace, 'link', 'add', network, 'type', 'bridge');
        ip('-n', switchNamespace, 'link', 'set', network, 'up');
        for (const host of hosts) connect(host, `${run}-${host.name}`, network, switchNamespace);
      }
      connect(outside, `${run}-outside`, 'mail', switchNamespace);
    } catch (error) {
      remove(namespaces);
      throw error;
    }
    return new Hosts(hosts, outside, namespaces);
  }

  /** The host of this number, from 1. */
  host(number: number): Host {
    const host = this.hosts[number - 1];
    if (host === undefined) throw new Error(`there is no host ${number}`);
    return host;
  }

  /** The programs inside must have ended. */
  [Symbol.dispose](): void {
    remove(this.#namespaces);
  }
}

/** Namespaces of this process, which end with it. */
const made = new Set<string>();
let runs = 0;
process.on('exit', () => remove([...made]));

/** The name of the switch's end of a link. */
function port(network: Network, number: number): string {
  return `${network}-${number}`;
}

/** A cable between a host and the switch of a network. */
function connect(host: Host, namespace: string, network: Network, switchNamespace: string): void {
  const end = port(network, host.number);
  const cable = ['link', 'add', 'name', end, 'netns', switchNamespace, 'type', 'veth', 'peer', 'name', network];
  ip(...cable, 'netns', namespace);
  ip('-n', switchNamespace, 'link', 'set', end, 'master', network, 'up');
  ip('-n', namespace, 'addr', 'add', `${host.address(network)}/24`, 'dev', network);
  ip('-n', namespace, 'link', 'set', network, 'up');
}

function remove(namespaces: readonly string[]): void {
  for (const namespace of namespaces) {
    // One that could not be made is not there.
    if (existsSync(`${NAMESPACES}/${namespace}`)) ip('netns', 'delete', namespace);
    made.delete(namespace);
  }
}

/** End what runs in namespaces whose maker is gone, and remove them. */
function removeLeftOvers(): void {
  const left = (existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : []).filter((name) => {
    const [, maker] = new RegExp(`^${PREFIX}-(\\d+)-`).exec(name) ?? [];
    return maker !== undefined && !existsSync(`/proc/${maker}`);
  });
  for (const namespace of left) {
    for (const pid of ip('netns', 'pids', namespace).split('\n')) if (pid !== '') process.kill(Number(pid), 'SIGKILL');
  }
  remove(left);
}

function ip(...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(locate('ip') ?? 'ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}
