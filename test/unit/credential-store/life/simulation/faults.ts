import type { Cluster } from './cluster.ts';
import { nameOf } from './node.ts';

/** What goes wrong for a while. */

/** Break one thing; most are mended by themselves before `end`. */
export function breakSomething(cluster: Cluster, end: number): void {
  const { chance, time, dns, nodes } = cluster;
  const driver = chance.of(
    cluster.log
      .all()
      .map((r) => r.driver?.node)
      .concat(undefined),
  );
  const node = nodes.find((n) => n.name === driver) ?? chance.of(nodes);
  const server = chance.of(dns.servers);
  const forAWhile = (shortest: number, longest: number, mend: () => void): void => {
    time.after(Math.min(chance.between(shortest, longest), Math.max(0, end - time.now)), mend);
  };
  const wrongClock = nodes.some((n) => Math.abs(n.skew) > 60_000);
  const away: (() => void)[] = [
    () => {
      node.cutOff();
      forAWhile(500, 20_000, () => node.reconnect());
    },
    () => {
      node.crash();
      forAWhile(200, 15_000, () => node.restart());
    },
    () => {
      node.mute = true;
      cluster.slow = chance.is(0.5);
      forAWhile(6000, 20_000, () => node.speak());
    },
  ];
  const faults: (() => void)[] = [
    () => {
      // A node that is wrong together with most others is right, and one that hears no other has only its own clock.
      if (wrongClock || nodes.some((n) => !n.up || !n.connected || n.mute || n.since + 6000 > time.now)) return;
      node.skew = chance.of([-3_600_000, 3_600_000]);
      forAWhile(2000, 30_000, () => {
        node.skew = 0;
      });
    },
    () => {
      node.lag = chance.between(500, 8000);
      forAWhile(2000, 20_000, () => {
        node.lag = 30;
      });
    },
    () => {
      node.signerLag = chance.between(500, 12_000);
      forAWhile(2000, 20_000, () => {
        node.signerLag = 30;
      });
    },
    () => {
      node.unusable = true;
      forAWhile(2000, 20_000, () => {
        node.unusable = false;
      });
    },
    () => {
      dns.updates = chance.of(['fail', 'fail', 'refused']);
      forAWhile(1000, 15_000, () => {
        dns.updates = 'taken';
      });
    },
    () => {
      server.answers = false;
      forAWhile(1000, 20_000, () => {
        server.answers = true;
      });
    },
    () => {
      server.lag = chance.between(5000, 40_000);
      forAWhile(1000, 20_000, () => {
        server.lag = 100;
        dns.copyTo(server);
      });
    },
    () => {
      cluster.slow = true;
      forAWhile(5000, 30_000, () => {
        cluster.slow = false;
      });
    },
    () => removeRecord(cluster),
  ];
  // While a clock is wrong the others must be there to say so.
  chance.of(wrongClock ? faults : [...away, ...faults])();
}

/** Another program removes a record of ours. */
function removeRecord({ chance, log, dns }: Cluster): void {
  const published = log
    .all()
    .flatMap(({ domain, keys }) => keys.filter((k) => k.publication.by === 'update').map((k) => nameOf(domain, k)));
  if (published.length === 0) return;
  const name = chance.of(published);
  dns.touched.add(name);
  dns.set(name, undefined);
}

/** Nothing is broken any more. One node may stay away for good: the others do without it. */
export function healEverything(cluster: Cluster): void {
  const { nodes, dns, chance } = cluster;
  const gone = chance.is(0.3) ? chance.of(nodes) : undefined;
  for (const node of nodes) {
    node.lag = 30;
    node.signerLag = 30;
    node.unusable = false;
    node.skew = 0;
    if (node.mute) node.speak();
    if (node === gone) node.crash();
    else if (!node.up) node.restart();
    if (!node.connected) node.reconnect();
  }
  cluster.slow = false;
  dns.updates = 'taken';
  for (const server of dns.servers) {
    server.answers = true;
    server.lag = 100;
    dns.copyTo(server);
  }
}
