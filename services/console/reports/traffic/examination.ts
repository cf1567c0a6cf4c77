import type { Config } from '#cluster/config/schema/schema.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Clients } from '../clients.ts';
import { examineCluster } from '../cluster/checks.ts';
import { gatherCluster } from '../cluster/facts.ts';
import { describeError } from '../describe-error.ts';
import { examine } from '../doctor/checks.ts';
import type { Finding } from '../doctor/finding.ts';
import { gatherDoctor } from '../doctor/gather.ts';

/**
 * What `sealpost cluster status` and `sealpost doctor` find, kept for a while: both ask every process, and doctor asks name
 * servers about every key. So each runs again only when somebody wants to know, not before its time, and for a tenth of the
 * time at most.
 */

type Found = Finding & { check: string };

const CLUSTER_MS = 10_000;
const DOCTOR_MS = 30_000;
/** A share of the time: the pause is so many times as long as the work was. */
const PAUSE = 9;

export class KeptExamination {
  readonly #cluster: Repeated;
  readonly #doctor: Repeated;

  constructor(clients: Clients, config: () => Config) {
    this.#cluster = new Repeated('cluster', CLUSTER_MS, async () => examineCluster(await gatherCluster(clients)));
    this.#doctor = new Repeated('doctor', DOCTOR_MS, async () =>
      examine(await gatherDoctor(clients, clients.client(credentialStoreContract), config())),
    );
  }

  findings(): { findings: readonly Found[]; examined: number | undefined } {
    this.#cluster.refresh();
    this.#doctor.refresh();
    const known = new Map<string, Found>();
    // Both find some things; doctor says more.
    for (const one of [...this.#doctor.found, ...this.#cluster.found]) {
      const key = `${one.check}\n${one.about}\n${one.text}`;
      if (!known.has(key)) known.set(key, one);
    }
    const { at: cluster } = this.#cluster;
    const { at: doctor } = this.#doctor;
    const examined = cluster === undefined || doctor === undefined ? undefined : Math.min(cluster, doctor);
    return { findings: [...known.values()], examined };
  }
}

class Repeated {
  readonly #what: string;
  readonly #everyMs: number;
  readonly #work: () => Promise<Found[]>;
  #due = Number.NEGATIVE_INFINITY;
  #running = false;
  found: readonly Found[] = [];
  /** When it was last done, in ms since 1970. */
  at: number | undefined;

  constructor(what: string, everyMs: number, work: () => Promise<Found[]>) {
    this.#what = what;
    this.#everyMs = everyMs;
    this.#work = work;
  }

  refresh(): void {
    if (this.#running || performance.now() < this.#due) return;
    this.#running = true;
    const begun = performance.now();
    void this.#work()
      .catch((error: unknown) => [this.#failed(error)])
      .then((found) => {
        const took = performance.now() - begun;
        this.#due = begun + took + Math.max(this.#everyMs - took, PAUSE * took);
        this.#running = false;
        this.found = found;
        this.at = Date.now();
      });
  }

  #failed(error: unknown): Found {
    const reason = error instanceof SealpostError ? describeError(error) : errorText(error);
    return {
      ...{ check: `${this.#what}-failed`, severity: 'warning', about: 'the cluster' },
      text: `could not be examined: ${reason}`,
      help: 'see that its services run; it is examined again by itself',
    };
  }
}
