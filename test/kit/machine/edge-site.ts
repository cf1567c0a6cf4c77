import { Machine } from './machine.ts';

/**
 * An edge server of example.com before it becomes Sealpost: a machine, a name server on it with the zones of the world, and
 * in that world a server inside (10.20.1.2) and one of others (192.0.2.80), which keep what they get.
 */
export class EdgeSite implements AsyncDisposable {
  readonly machine: Machine;
  readonly #records: string[] = [];

  private constructor(machine: Machine) {
    this.machine = machine;
  }

  static async start(): Promise<EdgeSite> {
    const site = new EdgeSite(await Machine.start());
    const { machine } = site;
    await machine.must('install -d -m 777 /run/dns /run/mail-inside /run/mail-elsewhere');
    await site.#writeZones();
    await machine.must('named -n 1 -c /run/dns/named.conf');
    for (const [folder, address] of [
      ['inside', '10.20.1.2'],
      ['elsewhere', '192.0.2.80'],
    ]) {
      const sink = `cd /run/mail-${folder} && exec smtp-sink -u nobody -d '%H%M%S.' ${address}:25 100`;
      await machine.must(`ip netns exec world bash -c "${sink}" >/var/log/${folder}.log 2>&1 &`);
    }
    await machine.eventually('dig +short A mx1.example.com | grep -q .', 'the name server');
    return site;
  }

  /** Add a record to the zone example.com, as `sealpost keys export-dns` prints it, or as a zone file has it. */
  async publish(record: string): Promise<void> {
    this.#records.push(record);
    await this.#writeZones();
    await this.machine.must('kill -HUP $(cat /run/dns/named.pid)');
  }

  /** Send a mail as a client at `from`, an address of the world. Fails unless it is accepted. */
  async send(client: string, sender: string, recipient: string, subject: string, port = 25): Promise<void> {
    const server = client.startsWith('10.') ? '10.20.0.1' : '198.51.100.1';
    const options = `--server ${server}:${port} --local-interface ${client} --helo client.example --from ${sender} --to ${recipient}`;
    await this.machine.must(`ip netns exec world swaks ${options} --header 'Subject: ${subject}'`);
  }

  /** The message with this subject at the server inside or elsewhere, once it is there: its path on the machine. */
  async arrived(where: 'inside' | 'elsewhere', subject: string): Promise<string> {
    const find = `grep -l '^Subject: ${subject}' /run/mail-${where}/*`;
    return (await this.machine.eventually(find, `"${subject}" to arrive ${where}`)).trim();
  }

  /** Whether OpenDKIM and dkimpy find its signature good, with the keys that DNS has; and its selector is this one. */
  async verify(path: string, selector: string): Promise<void> {
    await this.machine.must(
      `grep -q 's=${selector};' ${path}\nopendkim-testmsg <${path}\ndkimverify <${path} | grep -q 'signature ok'`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
  }

  async #writeZones(): Promise<void> {
    const { machine } = this;
    const head = `$TTL 1\n@ SOA ns.example.com. hostmaster.example.com. ${1 + this.#records.length} 3600 600 86400 1\n@ NS ns.example.com.\n`;
    const zones: Record<string, string> = {
      // Everything else does not exist.
      '.': 'ns.example.com. A 127.0.0.1\nrelay.provider.example. A 192.0.2.80\nmail.elsewhere.example. A 192.0.2.80\nelsewhere.example. MX 10 mail.elsewhere.example.\nbranch.example. MX 10 mx1.example.com.\nbrand.example. MX 10 mx1.example.com.\n',
      'example.com': `@ MX 10 mx1.example.com.\nns A 127.0.0.1\nmx1 A 198.51.100.1\n${this.#records.join('\n')}\n`,
    };
    const clauses: string[] = [];
    for (const [i, [name, records]] of Object.entries(zones).entries()) {
      await machine.write(`/run/dns/zone-${i}`, `${head}${records}`);
      clauses.push(`zone "${name}" { type primary; file "/run/dns/zone-${i}"; };`);
    }
    const options =
      'directory "/run/dns"; listen-on { 127.0.0.1; }; listen-on-v6 { none; }; pid-file "/run/dns/named.pid"; recursion no; dnssec-validation no; notify no;';
    await machine.write('/run/dns/named.conf', `options { ${options} };\ncontrols { };\n${clauses.join('\n')}\n`);
  }
}
