import { normalizeDomain } from '../address/address.ts';
import { type IpNetwork, isInNetwork, parseIp, parseNetwork } from '../address/ip-address.ts';
import { SealpostError } from '../errors.ts';
import { newId } from '../ids.ts';
import { cut } from '../text.ts';
import type { TranscriptLine, TranscriptPage, TranscriptRead } from './operation.ts';

/**
 * Transcripts: what is said in the SMTP sessions of a service with one peer, while an administrator looks on.
 *
 * A watch is for one peer. It begins when a command first reads it, and ends when the command says so or has not read it
 * for `LEASE_MS`, as where it died. Each reading names the last line that it has; lines up to that one are dropped, those
 * after it are kept, at most `MOST_LINES` of them: of a peer that says more the oldest are lost, and counted. Without a
 * watch a session costs one look at `active` for each line.
 *
 * Nothing secret is in a line: of AUTH the mechanism alone, no answer to a challenge, and of a message its size.
 */

/** How long a watch goes on that nobody reads. */
const LEASE_MS = 15_000;
const MOST_WATCHES = 8;
/** Lines kept of a watch, those of one answer, and those of one second. */
const MOST_LINES = 2000;
const PAGE = 200;
const MOST_IN_A_SECOND = 1000;
/** Sessions of one watch at a time; lines of others are lost. */
const MOST_SESSIONS = 100;
/** Characters of a line. */
const LONGEST = 500;

/** Whom a session is with: what is known of it so far. */
export type SessionPeer = { address: string; names: readonly string[]; text: string };

class Watch {
  readonly #network: IpNetwork | undefined;
  readonly #domain: string;
  readonly #sessions = new Set<SessionTranscript>();
  #lines: TranscriptLine[] = [];
  #last: number;
  #lost = 0;
  #second = 0;
  #inSecond = 0;
  lease: NodeJS.Timeout | undefined;

  constructor({ peer, after }: TranscriptRead) {
    this.#network = parseNetwork(peer);
    this.#domain = normalizeDomain(peer);
    this.#last = after;
  }

  covers({ address, names }: SessionPeer): boolean {
    if (this.#network === undefined) return names.some((name) => isWithin(name, this.#domain));
    const ip = parseIp(address);
    return ip !== undefined && isInNetwork(ip, this.#network);
  }

  add(session: SessionTranscript, line: TranscriptLine): void {
    const second = Math.floor(line.at / 1000);
    if (second !== this.#second) this.#inSecond = 0;
    this.#second = second;
    const isNew = !this.#sessions.has(session);
    if ((isNew && this.#sessions.size >= MOST_SESSIONS) || ++this.#inSecond > MOST_IN_A_SECOND) {
      this.#lost++;
      return;
    }
    this.#sessions.add(session);
    this.#lines.push(line);
    this.#last++;
    if (this.#lines.length > MOST_LINES) {
      this.#lines.shift();
      this.#lost++;
    }
  }

  ended(session: SessionTranscript): void {
    this.#sessions.delete(session);
  }

  read(after: number): TranscriptPage {
    const first = this.#last - this.#lines.length;
    this.#lines = this.#lines.slice(Math.max(0, after - first));
    const lines = this.#lines.slice(0, PAGE);
    return { lines, last: this.#last - this.#lines.length + lines.length, lost: this.#lost };
  }
}

/** The watches of a service. */
export class Transcripts {
  readonly #watches = new Map<string, Watch>();

  get active(): boolean {
    return this.#watches.size > 0;
  }

  /** Begin a watch or go on with it. Throws `too-many-transcripts`. */
  read(request: TranscriptRead): TranscriptPage {
    const { watch: name, after, end } = request;
    let watch = this.#watches.get(name);
    if (watch === undefined) {
      if (end === true) return { lines: [], last: after, lost: 0 };
      if (this.#watches.size >= MOST_WATCHES) {
        const text = `${MOST_WATCHES} transcripts are being made already: end one of them, or wait`;
        throw new SealpostError('too-many-transcripts', text);
      }
      watch = new Watch(request);
      this.#watches.set(name, watch);
    }
    clearTimeout(watch.lease);
    if (end === true) this.#watches.delete(name);
    else watch.lease = setTimeout(() => this.#watches.delete(name), LEASE_MS).unref();
    return watch.read(after);
  }

  /** A session, from its beginning; `peer` is asked again at each line, as names become known. */
  session(peer: () => SessionPeer, id?: string): SessionTranscript {
    return new SessionTranscript(this, peer, id);
  }

  /** What happened to a connection that was no session yet, or none any more. */
  note(peer: SessionPeer, text: string): void {
    if (this.active) this.session(() => peer).ended(text);
  }

  watchesFor(peer: SessionPeer): Watch[] {
    return [...this.#watches.values()].filter((watch) => watch.covers(peer));
  }

  close(): void {
    for (const { lease } of this.#watches.values()) clearTimeout(lease);
    this.#watches.clear();
  }
}

/** One session as the watches see it. */
export class SessionTranscript {
  readonly #all: Transcripts;
  readonly #peer: () => SessionPeer;
  #id: string | undefined;
  /** Bytes of a message that have passed since the last line. */
  #messageBytes = 0;

  constructor(all: Transcripts, peer: () => SessionPeer, id: string | undefined) {
    this.#all = all;
    this.#peer = peer;
    this.#id = id;
  }

  get active(): boolean {
    return this.#all.active;
  }

  /** One line or several, with their ends or without; `secret`: an answer to a challenge of AUTH. */
  client(text: string, secret = false): void {
    if (!this.#all.active) return;
    for (const line of linesOf(text)) this.#add('client', secret && !AUTH.test(line) ? '***' : withoutSecret(line));
  }

  server(text: string): void {
    if (!this.#all.active) return;
    for (const line of linesOf(text)) this.#add('server', line);
  }

  /** A reply whose lines came without the code. */
  reply(code: number, lines: readonly string[]): void {
    if (!this.#all.active) return;
    const last = lines.length - 1;
    for (const [n, line] of lines.entries()) this.#add('server', `${code}${n < last ? '-' : ' '}${line}`);
  }

  note(text: string): void {
    this.noteOf(() => text);
  }

  /** `text` is asked where somebody looks on. */
  noteOf(text: () => string): void {
    if (this.#all.active) this.#add('note', text());
  }

  /** A piece of a message passes from the client to the server. */
  message(bytes: number): void {
    if (this.#all.active) this.#messageBytes += bytes;
  }

  ended(text: string): void {
    if (!this.#all.active) return;
    this.#add('note', text);
    for (const watch of this.#all.watchesFor(this.#peer())) watch.ended(this);
  }

  #add(by: TranscriptLine['by'], text: string): void {
    const peer = this.#peer();
    const watches = this.#all.watchesFor(peer);
    const bytes = this.#messageBytes;
    this.#messageBytes = 0;
    if (watches.length === 0) return;
    this.#id ??= newId();
    const common = { at: Date.now(), session: this.#id, peer: cut(peer.text, LONGEST) };
    for (const watch of watches) {
      if (bytes > 0) watch.add(this, { ...common, by: 'client', text: `[${bytes} bytes of message]` });
      watch.add(this, { ...common, by, text: cut(text, LONGEST) });
    }
  }
}

const AUTH = /^AUTH(?: |$)/i;
/** SASL mechanisms are short names (RFC 4422 §3.1); what looks otherwise may be a password in the wrong place. */
const MECHANISM = /^AUTH ([A-Z0-9_-]{1,20})(?: +(\S.*))?$/i;
const KNOWN = new Set(['PLAIN', 'LOGIN', 'CRAM-MD5', 'XOAUTH2', 'OAUTHBEARER', 'EXTERNAL', 'NTLM', 'GSSAPI']);

/** A command as others may read it: of AUTH the mechanism, and that there was more. */
export function withoutSecret(command: string): string {
  if (!AUTH.test(command)) return command;
  const [, mechanism = '', more] = MECHANISM.exec(command.trim()) ?? [];
  if (!KNOWN.has(mechanism.toUpperCase())) return 'AUTH ***';
  return more === undefined ? `AUTH ${mechanism}` : `AUTH ${mechanism} ***`;
}

function linesOf(text: string): string[] {
  return text.replace(/\r?\n$/, '').split(/\r?\n/);
}

function isWithin(name: string, domain: string): boolean {
  const normal = normalizeDomain(name);
  return normal === domain || normal.endsWith(`.${domain}`);
}
