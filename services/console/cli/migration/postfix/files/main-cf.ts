import { expand, type Names } from './expansion.ts';

/**
 * main.cf, or what `postconf -n` prints of it: postconf(5). A line that begins with white space continues the one before;
 * lines that are empty or begin with `#` are comments, also between a line and its continuation. Of a parameter that
 * stands there twice the last line counts.
 */

/** `value` as it is written, its lines joined by one blank. */
export type Parameter = { name: string; value: string; line: number };
/** A line that is no parameter. */
export type StrayLine = { line: number; text: string; problem: string };

export type MainCf = { parameters: Map<string, Parameter>; stray: StrayLine[] };

/** A line with its continuations, by the rules that main.cf, master.cf and tables share. */
export type LogicalLine = { line: number; text: string };

export function logicalLines(text: string): LogicalLine[] {
  const lines: { line: number; parts: string[] }[] = [];
  for (const [i, raw] of text.split(/\r\n|\n|\r/).entries()) {
    if (/^\s*(?:#|$)/.test(raw)) continue;
    const current = lines.at(-1);
    if (/^\s/.test(raw) && current !== undefined) current.parts.push(raw.trim());
    else lines.push({ line: i + 1, parts: [raw.trim()] });
  }
  return lines.map(({ line, parts }) => ({ line, text: parts.join(' ') }));
}

const NAME = /^([A-Za-z0-9_.-]+)\s*=\s*/;

export function parseMainCf(text: string): MainCf {
  const parameters = new Map<string, Parameter>();
  const stray: StrayLine[] = [];
  for (const { line, text: content } of logicalLines(text)) {
    const match = NAME.exec(content);
    if (match?.[1] === undefined) {
      stray.push({ line, text: content, problem: 'is not name = value: not taken' });
      continue;
    }
    const [whole, name] = match;
    const earlier = parameters.get(name);
    if (earlier !== undefined) {
      const problem = `stands in line ${line} again, and Postfix takes that one`;
      stray.push({ line: earlier.line, text: `${name} = ${earlier.value}`, problem });
    }
    parameters.set(name, { name, value: content.slice(whole.length), line });
  }
  return { parameters, stray };
}

/** Values of parameters that other values, or this import, refer to, where main.cf does not set them (postconf -d). */
const DEFAULTS: Readonly<Record<string, string>> = {
  append_dot_mydomain: 'no',
  compatibility_level: '0',
  config_directory: '/etc/postfix',
  data_directory: '/var/lib/postfix',
  default_database_type: 'hash',
  inet_interfaces: 'all',
  inet_protocols: 'all',
  mail_name: 'Postfix',
  mydestination: '$myhostname, localhost.$mydomain, localhost',
  myorigin: '$myhostname',
  queue_directory: '/var/spool/postfix',
  recipient_delimiter: '',
  relay_domains: '',
  smtp_tls_security_level: '',
  smtpd_client_restrictions: '',
  smtpd_helo_restrictions: '',
  smtpd_recipient_restrictions: '',
  smtpd_relay_restrictions: 'permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination',
  smtpd_sender_restrictions: '',
  smtpd_tls_key_file: '$smtpd_tls_cert_file',
  stress: '',
};

/**
 * The parameters of one service: those of main.cf, and what master.cf says for this service alone (`-o`).
 */
export class Settings implements Names {
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #own: ReadonlyMap<string, string>;

  constructor(parameters: ReadonlyMap<string, Parameter>, own: ReadonlyMap<string, string> = new Map()) {
    this.#parameters = parameters;
    this.#own = own;
  }

  /** Of a service with settings of its own. */
  with(own: ReadonlyMap<string, string>): Settings {
    return new Settings(this.#parameters, own);
  }

  /** Whether it is written somewhere. */
  has(name: string): boolean {
    return this.#own.has(name) || this.#parameters.has(name);
  }

  /** As it is written, or its default; undefined where this import knows none. */
  raw(name: string): string | undefined {
    const written = this.#own.get(name) ?? this.#parameters.get(name)?.value;
    if (written !== undefined) return written;
    if (name === 'mydomain') return this.text('myhostname').replace(/^[^.]*\.(?=.)/, '');
    return Object.hasOwn(DEFAULTS, name) ? DEFAULTS[name] : undefined;
  }

  /** With all names in it replaced by their values. */
  text(name: string): string {
    return expand(this.raw(name) ?? '', this).trim();
  }

  /** The words of a list, which commas and blanks separate; what stands in braces is one word. */
  list(name: string): string[] {
    return words(this.text(name));
  }

  yes(name: string): boolean {
    return this.text(name).toLowerCase() === 'yes';
  }
}

/** The domain of an address without one: myorigin, unless that is the name of a file. */
export function originOf(settings: Settings): string {
  const origin = settings.text('myorigin');
  return origin.startsWith('/') ? settings.text('mydomain') : origin;
}

export function words(text: string): string[] {
  const found: string[] = [];
  let word = '';
  let depth = 0;
  for (const c of text) {
    if (depth === 0 && /[\s,]/.test(c)) {
      if (word !== '') found.push(word);
      word = '';
      continue;
    }
    if (c === '{') depth++;
    else if (c === '}' && depth > 0) depth--;
    word += c;
  }
  return word === '' ? found : [...found, word];
}

/** What stands in braces, or the text itself. */
export const unbraced = (text: string): string => /^\{\s*(.*?)\s*\}$/s.exec(text)?.[1] ?? text;
