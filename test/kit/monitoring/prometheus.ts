import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

export type Sample = { metric: Record<string, string>; value: [number, string] };
type Alert = { labels: Record<string, string>; annotations: Record<string, string>; state: string };

/** A real Prometheus on loopback, which scrapes these ports twice a second and judges its rules as often. */
export class Prometheus implements AsyncDisposable {
  readonly #temp: TempDir;
  readonly #program: Program;
  readonly #port: number;

  private constructor(temp: TempDir, program: Program, port: number) {
    this.#temp = temp;
    this.#program = program;
    this.#port = port;
  }

  /** `token`: a file; `rules`: the text of a rule file. */
  static async start(options: { targets: readonly number[]; token?: string; rules: string }): Promise<Prometheus> {
    const temp = await tempDir('prometheus');
    await writeFile(join(temp.path, 'rules.yaml'), options.rules);
    const config = [
      'global: { scrape_interval: 500ms, evaluation_interval: 500ms }',
      'rule_files: [rules.yaml]',
      'scrape_configs:',
      '  - job_name: sealpost',
      ...(options.token === undefined
        ? []
        : [`    authorization: { type: Bearer, credentials_file: ${JSON.stringify(options.token)} }`]),
      `    static_configs: [{ targets: [${options.targets.map((port) => `"127.0.0.1:${port}"`).join(', ')}] }]`,
    ];
    const file = join(temp.path, 'prometheus.yaml');
    await writeFile(file, config.join('\n'));
    const port = await freePort();
    const program = new Program('prometheus', [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(temp.path, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    const started = new Prometheus(temp, program, port);
    await waitFor(() => fetch(`http://127.0.0.1:${port}/-/ready`).then(({ ok }) => ok), { what: 'Prometheus' });
    return started;
  }

  /** Fails where Prometheus refuses the query. */
  async query(expression: string): Promise<Sample[]> {
    const data = await this.#ask(`query?query=${encodeURIComponent(expression)}`);
    return (data as { result: Sample[] }).result;
  }

  /** Alerts that fire or are about to. */
  async alerts(): Promise<Alert[]> {
    return ((await this.#ask('alerts')) as { alerts: Alert[] }).alerts;
  }

  /** Wait until an alert of this name fires. */
  async fires(name: string): Promise<Alert> {
    return waitFor(
      async () => (await this.alerts()).find(({ labels, state }) => labels['alertname'] === name && state === 'firing'),
      { timeout: 60_000, what: `${name} to fire` },
    );
  }

  async #ask(path: string): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.#port}/api/v1/${path}`);
    const { status, data, error } = (await response.json()) as { status: string; data: unknown; error?: string };
    if (status !== 'success') throw new Error(`Prometheus refuses ${path}: ${error}`);
    return data;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    await this.#temp[Symbol.asyncDispose]();
  }
}
