import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LoadOptions } from '#test/kit/smtp/load.ts';
import type { Host } from './hosts.ts';

/**
 * The world around a network of hosts: loads that send mail to them and a sink that takes it, in a process of its own
 * (`outside-process.ts`) on a host. It ends with this process, however that ends.
 */
export type OutsideLoad = {
  accepted: number;
  unknown: number;
  refused: Record<string, number>;
  /** The longest time without a 250 since the last look, in milliseconds. */
  longestPause: number;
};

/** What was sent and what came, at one moment. */
export type OutsideView = {
  loads: Record<string, OutsideLoad>;
  /** Messages at the sink, with those that came twice. */
  messages: number;
  /** Arrivals beyond the first of each id. */
  duplicates: number;
  /** Messages by their number of DKIM-Signature fields. */
  signatures: [fields: number, messages: number][];
  /** Ids that were accepted and have not arrived. */
  missing: string[];
  /** Ids that arrived and were refused. */
  strays: string[];
  /** With a name server: what was unsigned, or had a signature that is not good. */
  bad: { id: string; at: string; verdicts: string[] }[];
};

export type OutsideCall =
  | { what: 'load'; run: string; options: LoadOptions }
  | { what: 'stop'; run: string }
  | { what: 'look' }
  /** The sink answers nothing for a while; what comes waits. */
  | { what: 'pause' | 'resume' };
export type OutsideAnswer = { view: OutsideView } | { problem: string };

/** Port of the sink; that of a name server is the usual one. */
export const SINK_PORT = 2526;

export class Outside implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #host: Host;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(host: Host, child: ChildProcess) {
    this.#host = host;
    this.#child = child;
  }

  /** `nameServer`: the sink verifies each message as it arrives, with the keys that it publishes. */
  static async start(host: Host, nameServer?: string): Promise<Outside> {
    const [command = '', ...rest] = host.within;
    const script = fileURLToPath(new URL('outside-process.ts', import.meta.url));
    const place = [host.address('mail'), String(SINK_PORT), ...(nameServer === undefined ? [] : [nameServer])];
    const args = [...rest, process.execPath, script, ...place];
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await answer(child);
    return new Outside(host, child);
  }

  /** The route that leads to the sink. */
  get route(): string {
    return `{ to: "*", via: "smtp://${this.#host.address('mail')}:${SINK_PORT}", tls: off }`;
  }

  /** Begin to send. The name is part of each message's id. */
  async load(run: string, options: LoadOptions): Promise<void> {
    await this.#call({ what: 'load', run, options });
  }

  /** Let the messages under way end, and send no more. */
  async stop(run: string): Promise<OutsideView> {
    return this.#call({ what: 'stop', run });
  }

  /** Let the sink answer nothing. */
  async pause(): Promise<void> {
    await this.#call({ what: 'pause' });
  }

  async resume(): Promise<void> {
    await this.#call({ what: 'resume' });
  }

  async look(): Promise<OutsideView> {
    return this.#call({ what: 'look' });
  }

  #call(call: OutsideCall): Promise<OutsideView> {
    const answered = this.#last.then(async () => {
      this.#child.send(call);
      const said = (await answer(this.#child)) as OutsideAnswer;
      if ('problem' in said) throw new Error(said.problem);
      return said.view;
    });
    this.#last = answered.catch(() => undefined);
    return answered;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

async function answer(child: ChildProcess): Promise<unknown> {
  const over = new AbortController();
  const end = (): void => over.abort(new Error('the process of the outside world ended'));
  child.once('exit', end);
  try {
    const [message] = await once(child, 'message', { signal: over.signal });
    return message;
  } finally {
    child.removeListener('exit', end);
  }
}
