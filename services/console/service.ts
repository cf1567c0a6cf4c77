import type { Config, ConsoleConfig } from '#cluster/config/schema/schema.ts';
import type { Service } from '#shared/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { FileWatch } from '#shared/files/watch.ts';
import { type ConsoleContract, consoleContract } from './contract.ts';
import { certificateFiles, loadCertificate, type Material } from './http/certificate.ts';
import { type Desk, type DeskDeps, originOf } from './http/desk.ts';
import { LINK_VALID_MS, Links } from './http/links.ts';
import { ConsoleServer } from './http/server.ts';
import { Sessions } from './http/sessions.ts';
import { KeptExamination } from './reports/traffic/examination.ts';
import { TrafficWatch } from './reports/traffic/watch.ts';

/**
 * The console for administrators in a browser. It owns sessions, in memory, and nothing of mail: whatever it shows it asks the
 * other services for, in the name of the person, and mail is unaffected when it is down.
 *
 *   contract.ts   what it can be asked over the bus: its status, and a link that signs somebody in
 *   http/         the server: sign-in, sessions, who may ask what, the files of the page
 *   api/          what can be asked over HTTPS, an area a file; route.ts says how one is added
 *   schemas/      what that looks like, for the API and the page alike
 *   page/         what runs in the browser
 *   reports/      what is found out about a cluster, for the API and the command line alike
 *   cli/          the command line
 *   metrics/      what Prometheus reads
 *
 *   closed → (start, with a section `console`) open → (the section has gone) closed → (it is there again) open
 *                                                   → (stop) stopped
 *
 * A change of address or port opens another server and ends what the old one has open; sessions stay. A certificate whose
 * files change is read again; what cannot be used is logged, and what was in use stays.
 */
export type ConsoleDeps = DeskDeps;

export function createConsoleService(deps: ConsoleDeps): Service<ConsoleContract> {
  const desk = createDesk(deps);
  const door = new Door(desk);
  return {
    contract: consoleContract,
    async start() {
      desk.sessions.start();
      desk.traffic.start();
      await door.open();
    },
    async stop() {
      desk.traffic.stop();
      desk.sessions.stop();
      await door.stop();
    },
    handlers: {
      'status-show': () => {
        const { server, material, section } = door.opened();
        const { node } = deps.settings.current;
        return {
          ...{ node: node.name, origin: desk.origin(), address: section.address, port: server.port },
          ...{ fingerprint: material.fingerprint, until: material.until, sessions: desk.sessions.count },
        };
      },
      'link-create': ({ role, domains, person }) => {
        door.opened();
        const url = desk.links.create(desk.origin(), { name: `${person}, by link`, role, domains });
        return { url, validMs: LINK_VALID_MS };
      },
    },
  };
}

function createDesk(deps: DeskDeps): Desk {
  const { settings, log, clientsOf } = deps;
  const clients = clientsOf('the console');
  const examination = new KeptExamination(clients, () => settings.current);
  return {
    ...deps,
    sessions: new Sessions(settings),
    links: new Links(),
    traffic: new TrafficWatch({ clients, node: settings.current.node.name, examination, log }),
    origin: () => originOf(settings.current),
  };
}

const DAY_MS = 86_400_000;

type Opened = { server: ConsoleServer; material: Material; section: ConsoleConfig };

/** The server, where the configuration has one. Changes are followed one after the other. */
class Door {
  readonly #desk: Desk;
  #opened: Opened | undefined;
  #watch: FileWatch | undefined;
  #work: Promise<void> = Promise.resolve();
  #unfollow = (): unknown => undefined;
  #daily: NodeJS.Timeout | undefined;

  constructor(desk: Desk) {
    this.#desk = desk;
  }

  async open(): Promise<void> {
    const { settings } = this.#desk;
    this.#unfollow = settings.onChange(() => this.#soon());
    // A certificate of its own making is made anew before it ends.
    this.#daily = setInterval(() => void this.#soon(), DAY_MS).unref();
    await this.#follow(settings.current);
  }

  async stop(): Promise<void> {
    this.#unfollow();
    clearInterval(this.#daily);
    await this.#watch?.close();
    await this.#work;
    await this.#opened?.server.close();
    this.#opened = undefined;
  }

  /** Fails with `unavailable` where it is closed. */
  opened(): Opened {
    if (this.#opened !== undefined) return this.#opened;
    throw new SealpostError('unavailable', 'the console is closed: the log of its process says why');
  }

  #soon(): Promise<void> {
    this.#work = this.#work
      .then(() => this.#follow(this.#desk.settings.current))
      .catch((error: unknown) =>
        this.#desk.log.error({ error: errorText(error) }, 'the console does not follow its configuration'),
      );
    return this.#work;
  }

  async #follow(config: Config): Promise<void> {
    const { console: section } = config;
    const before = this.#opened;
    await this.#watchFiles(section === undefined ? [] : certificateFiles(config));
    if (section === undefined) {
      this.#opened = undefined;
      await before?.server.close();
      return;
    }
    const material = await loadCertificate(config);
    if (before !== undefined && before.section.address === section.address && before.section.port === section.port) {
      if (material.certificate !== before.material.certificate) before.server.use(material);
      this.#opened = { server: before.server, material, section };
      return;
    }
    this.#opened = undefined;
    await before?.server.close();
    const server = await ConsoleServer.open(this.#desk, section, material);
    this.#opened = { server, material, section };
    const { fingerprint, selfSigned } = material;
    this.#desk.log.info(
      { origin: this.#desk.origin(), port: server.port, fingerprint, selfSigned },
      selfSigned ? 'the console is open, with a certificate of its own making' : 'the console is open',
    );
  }

  async #watchFiles(files: readonly string[]): Promise<void> {
    await this.#watch?.close();
    this.#watch = files.length === 0 ? undefined : new FileWatch(files, () => void this.#soon()).start();
  }
}
