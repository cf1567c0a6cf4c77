import type { Command } from 'commander';
import { type CommonOptions, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';
import * as dkim from '../keymgmt/dkim.ts';
import * as nek from '../keymgmt/nek.ts';

/**
 * `sealpost keymgmt …`: the words that Domino's administrators know. Keywords are in any case, as there; what they do
 * is what `sealpost keys` does, once for every node.
 */

type KeymgmtOptions = CommonOptions & { yes?: boolean; value?: boolean };

/**
 * A form: keywords, `<names>` and `[options at the end]`. `words` of a run are what stands for the names, and for the
 * optional ones that were given.
 */
type Form = { form: string; about: string; run(words: string[], options: KeymgmtOptions): Promise<void> };

const FORMS: Form[] = [
  { form: 'create NEK <name>', about: 'add a named encryption key to this node’s file', run: nek.create },
  { form: 'create NEK <name> overwrite', about: 'the same: a NEK is never overwritten', run: nek.createOverwriting },
  { form: 'create credstore <nek>', about: 'begin the store of keys with a NEK', run: nek.createStore },
  { form: 'create DKIM <domain> <selector> RSA [1024|2048|3072|4096]', about: 'make a key', run: dkim.createRsa },
  { form: 'create DKIM <domain> <selector> Ed25519', about: 'make a key (RFC 8463)', run: dkim.createEd25519 },
  { form: 'show DKIM ALL', about: 'every key', run: dkim.showAll },
  { form: 'show DKIM <domain>', about: 'the keys of a domain', run: dkim.showDomain },
  { form: 'show DKIM <domain> <selector>', about: 'one key', run: dkim.showKey },
  { form: 'show NEK ALL', about: 'every NEK, and which nodes have it', run: nek.showAll },
  { form: 'show NEK <name>', about: 'one NEK', run: nek.show },
  { form: 'rotate NEK <name>', about: 'wrap every key with this NEK from now on', run: nek.rotate },
  { form: 'delete NEK <name>', about: 'forget a NEK that wraps nothing', run: nek.remove },
  { form: 'export DKIM DNS <domain> <selector> <file>', about: 'write the DNS record to a file', run: dkim.exportDns },
  { form: 'delete DKIM <domain> <selector>', about: 'remove a key for good', run: dkim.remove },
];

export function register(program: Command): void {
  const width = Math.max(...FORMS.map(({ form }) => form.length));
  withCommon(program.command('keymgmt'))
    .description('keys and NEKs in Domino’s own words')
    .argument('<words...>', 'one of the forms below; keywords in any case')
    .option('--value', 'with export: only the value of the record, as a provider’s form wants it')
    .option('--yes', 'with delete DKIM: do not ask')
    .addHelpText('after', `\nForms:\n${FORMS.map(({ form, about }) => `  ${form.padEnd(width)}  ${about}`).join('\n')}`)
    .action(keymgmt);
}

async function keymgmt(words: string[], options: KeymgmtOptions): Promise<void> {
  for (const { form, run } of FORMS) {
    const names = match(form, words);
    if (names !== undefined) return await run(names, options);
  }
  const near = nearest(words).map(({ form }) => `  sealpost keymgmt ${form}`);
  throw usageError([`"keymgmt ${words.join(' ')}" is not understood. It may be one of:`, ...near].join('\n'));
}

/** What stands for the names of a form; undefined when the words are none of that form. */
export function match(form: string, words: readonly string[]): string[] | undefined {
  const parts = form.split(' ');
  const least = parts.filter((part) => !part.startsWith('[')).length;
  if (words.length < least || words.length > parts.length) return undefined;
  const names: string[] = [];
  for (const [i, word] of words.entries()) {
    const part = parts[i] ?? '';
    if (part.startsWith('<')) names.push(word);
    else if (part.startsWith('[')) {
      if (!part.slice(1, -1).split('|').includes(word)) return undefined;
      names.push(word);
    } else if (part.toLowerCase() !== word.toLowerCase()) return undefined;
  }
  return names;
}

/** The forms that begin with the same keywords, the most that any does. */
function nearest(words: readonly string[]): Form[] {
  const common = ({ form }: Form): number => {
    const differs = form.split(' ').findIndex((part, i) => part.toLowerCase() !== words[i]?.toLowerCase());
    return differs < 0 ? words.length : differs;
  };
  const most = Math.max(...FORMS.map(common));
  return FORMS.filter((form) => common(form) === most);
}
