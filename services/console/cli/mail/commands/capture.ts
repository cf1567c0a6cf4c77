import type { Command } from 'commander';
import type { DNSResolver } from 'mailauth';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { dkimRecordValue } from '#shared/dkim/record.ts';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import { txtStrings } from '#shared/dns/txt.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { CapturedMessage } from '#shared/files/captured-message.ts';
import { fieldValue, splitHeader } from '#shared/mail/header.ts';
import { formatSize, formatTime } from '#shared/units.ts';
import { type Caller, type CommonOptions, openCaller, print, withCommon } from '../../context.ts';
import { clean, cleanLines, pairs, shorten, table } from '../../table.ts';
import { allCaptured, type CapturedOptions, oneCaptured } from '../captured.ts';

/** One DKIM signature: whose, and whether it holds. */
type Verdict = { domain: string; selector: string; algorithm: string; result: string; comment: string; key: string };

export function register(program: Command): void {
  const capture = program.command('capture').description('look at mail that the route "capture" kept');
  const command = (name: string, text: string): Command =>
    withCommon(capture.command(name).description(text)).option(
      '--node <name>',
      'only mail that the router of this node kept (default: of all)',
    );
  command('list', 'all captured messages, oldest first').action(list);
  command('show', 'envelope and header of a message, and the verdict on its signatures')
    .argument('[id]', 'number in the list, id or queue id (default: the newest)')
    .action(show);
}

async function list(options: CapturedOptions): Promise<void> {
  const { messages, silent } = await allCaptured(options);
  print(options, { messages, silent }, () => {
    if (messages.length === 0) return `nothing was captured ${silent.length === 0 ? 'yet' : 'elsewhere'}`;
    const rows = messages.map((m, i) => [
      String(i + 1),
      m.queueId,
      m.node,
      formatTime(m.at),
      formatSize(m.size),
      shorten(m.reversePath || '<>', 40),
      recipientsText(m),
    ]);
    return table(['#', 'QUEUE ID', 'NODE', 'CAPTURED', 'SIZE', 'FROM', 'TO'], rows);
  });
}

function recipientsText({ recipients }: CapturedMessage): string {
  const more = recipients.length > 1 ? ` +${recipients.length - 1}` : '';
  return `${shorten(recipients[0]?.address ?? '', 40)}${more}`;
}

async function show(id: string | undefined, options: CapturedOptions): Promise<void> {
  const { envelope, file, message } = await oneCaptured(...(await identify(id, options)));
  const text = message.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  const header = end < 0 ? text : text.slice(0, end + 2);
  const signatures = await verify(message, options);
  const fields = splitHeader(header).map((field) => ({ name: field.name, value: fieldValue(field) }));
  print(options, { envelope, file, header: fields, signatures }, () =>
    [
      pairs([
        ['id', envelope.id],
        ['captured', formatTime(envelope.at)],
        ['from', envelope.reversePath || '<>'],
        ...envelope.recipients.map((r) => ['to', r.address] as const),
        ['node', envelope.node],
        ['file', file],
      ]),
      '',
      // Headers are shown as UTF-8, which SMTPUTF8 allows (RFC 6532).
      cleanLines(Buffer.from(header, 'latin1').toString('utf8')).trimEnd(),
      '',
      ...(signatures.length === 0 ? ['no DKIM signature'] : signatures.map(verdictText)),
    ].join('\n'),
  );
}

/** The id for a number in the list, and the node that has it; other ids as they are. */
async function identify(id: string | undefined, options: CapturedOptions): Promise<[string, CapturedOptions]> {
  if (id !== undefined && !/^\d{1,6}$/.test(id)) return [id, options];
  const { messages } = await allCaptured(options);
  const found = id === undefined ? messages.at(-1) : messages[Number(id) - 1];
  if (found !== undefined) return [found.id, { ...options, node: found.node }];
  const what =
    id === undefined ? 'nothing was captured yet' : `there is no message ${id}: ${messages.length} were captured`;
  throw new SealpostError('not-found', what);
}

/** Check every signature with the node's own keys; keys that it does not have come from DNS. */
async function verify(message: Buffer, options: CommonOptions): Promise<Verdict[]> {
  await using caller = await openCaller(options);
  const sources = new Map<string, string>();
  const { dns } = caller.config;
  const inDns = mailauthResolver(new DnsResolver(dns), { timeoutMs: dns.timeout });
  const resolver: DNSResolver = async (name, type) => {
    if (type !== 'TXT') throw Object.assign(new Error(`no ${type} is needed for DKIM`), { code: 'ENOTFOUND' });
    const own = await ownKey(caller, name);
    sources.set(name.toLowerCase(), own.source);
    return own.record ?? (await inDns(name, type));
  };
  // Loaded where it is needed: the list does without.
  const { dkimVerify } = await import('mailauth/lib/dkim/verify.js');
  const { results } = await dkimVerify(message, { resolver, strict: true });
  return results
    .filter((result) => result.signingDomain !== undefined)
    .map((result) => ({
      domain: result.signingDomain ?? '',
      selector: result.selector ?? '',
      algorithm: result.algo ?? '',
      result: result.status.result,
      comment: result.status.comment ?? '',
      key: sources.get(`${result.selector}._domainkey.${result.signingDomain}`.toLowerCase()) ?? 'not looked up',
    }));
}

/** The TXT record of a key of this node, if it has one of that name; and where to take the record from. */
async function ownKey(caller: Caller, name: string): Promise<{ record?: string[][]; source: string }> {
  const [, selector, domain] = /^(.+)\._domainkey\.(.+)$/i.exec(name) ?? [];
  if (selector === undefined || domain === undefined) return { source: 'DNS' };
  try {
    const key = await caller.client(credentialStoreContract)['key-show']({ domain, selector });
    return { record: [txtStrings(dkimRecordValue(key))], source: 'this node' };
  } catch (error) {
    if (errorCode(error) === 'not-found') return { source: 'DNS' };
    if (errorCode(error) === 'no-node') return { source: 'DNS, as the node does not run' };
    // A router's user at the bus, whose container has the mail, may not ask for keys.
    if (errorCode(error) === CALL_ERRORS.unavailable) return { source: `DNS, as ${errorText(error)}` };
    throw error;
  }
}

function verdictText(verdict: Verdict): string {
  const why = verdict.comment === '' ? '' : ` (${verdict.comment})`;
  return clean(
    `DKIM ${verdict.result}${why}: ${verdict.algorithm}, d=${verdict.domain} s=${verdict.selector}, key from ${verdict.key}`,
  );
}
