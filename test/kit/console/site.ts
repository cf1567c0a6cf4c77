import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashPassword } from '#cluster/config/users/password.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode, type TestNodeOptions } from '#test/kit/nodes/node.ts';
import { ConsoleClient } from './client.ts';

/** A node with a console, and everybody who may sign in to it. */

export const PASSWORD = 'the password of the test';
/** Of alice’s phone, for mail. */
export const APP_PASSWORD = 'abcd-efgh-ijkl-mnop-qrst-uvwx';
/** Bearer tokens, by their names. */
export const TOKENS = {
  watcher: 'watcher-watcher-watcher',
  robot: 'robot-robot-robot-robot',
  ours: 'ours-ours-ours-ours-ours',
  theirs: 'theirs-theirs-theirs-theirs',
} as const;

/**
 * In `console`: alice is an operator, victor a viewer, dora the administrator of example.com; mallory is a user of mail who has
 * no entry. `watcher` is the token of a viewer, `robot` of an operator, `ours` of an operator of example.com, `theirs` of one of
 * other.example.
 */
export const PEOPLE = `people:
    - { user: alice, role: operator }
    - { user: victor, role: viewer }
    - { user: dora, role: operator, domains: [example.com] }
  tokens:
    - { name: watcher, token: ${TOKENS.watcher}, role: viewer }
    - { name: robot, token: ${TOKENS.robot}, role: operator }
    - { name: ours, token: ${TOKENS.ours}, role: operator, domains: [example.com] }
    - { name: theirs, token: ${TOKENS.theirs}, role: operator, domains: [other.example] }`;

export type SiteOptions = TestNodeOptions & {
  /** More options of the section. */
  console?: string;
  /** In place of those above. */
  people?: string;
  /** Called with its folder before the node starts. */
  prepare?: (folder: string) => Promise<void>;
  /** Each in a process of its own; by default all are one. */
  services?: readonly string[];
  /** Its port; a free one by default. */
  consolePort?: number;
};

export class ConsoleSite implements AsyncDisposable {
  readonly node: SealpostNode;
  readonly port: number;

  private constructor(node: SealpostNode, port: number) {
    this.node = node;
    this.port = port;
  }

  /** Made and running. */
  static async start({
    console = '',
    people = PEOPLE,
    config = '',
    prepare = async () => undefined,
    consolePort,
    services,
    ...options
  }: SiteOptions = {}): Promise<ConsoleSite> {
    const port = consolePort ?? (await freePort());
    const section = `console:\n  port: ${port}\n  origin: "https://localhost:${port}"\n  ${people}\n${console}\n`;
    const node = await SealpostNode.create({
      config: `directory: { users: ./users.yaml }\n${section}${config}`,
      ...options,
    });
    const [password, app] = await Promise.all([hashPassword(PASSWORD), hashPassword(APP_PASSWORD)]);
    const phone = { name: 'phone', tag: APP_PASSWORD.slice(0, 4), password: app };
    const users = ['alice', 'victor', 'dora', 'mallory'].map((name) => ({
      ...{ name, password, addresses: [`${name}@example.com`], 'app-passwords': name === 'alice' ? [phone] : [] },
    }));
    await writeFile(join(node.folder, 'users.yaml'), JSON.stringify({ users }), { mode: 0o600 });
    await prepare(node.folder);
    await (services === undefined ? node.start() : Promise.all(services.map((one) => node.start(one))));
    return new ConsoleSite(node, port);
  }

  /** As the address of a browser has it. */
  get origin(): string {
    return `https://localhost:${this.port}`;
  }

  get nodes(): [SealpostNode] {
    return this.node.nodes;
  }

  client(): ConsoleClient {
    return new ConsoleClient(this.port);
  }

  /** With a token, as a program. */
  program(name: keyof typeof TOKENS): ConsoleClient {
    const client = this.client();
    client.token = TOKENS[name];
    return client;
  }

  /** In a browser, by password. */
  async person(user: string): Promise<ConsoleClient> {
    const client = this.client();
    const { status, text } = await client.signIn({ user, password: PASSWORD });
    if (status !== 200) throw new Error(`${user} cannot sign in: ${status} ${text}`);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
  }
}
