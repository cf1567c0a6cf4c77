import type { Command } from 'commander';
import { type CommonOptions, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';
import { readNotesIni } from '../import/notes-ini.ts';
import { reportNotesIni } from '../import/notes-ini-report.ts';

/**
 * `sealpost set config <name>=<value>`: what Domino's administrators type to map a domain to its key. Sealpost has no
 * such mapping, as every active key of a domain signs; so it says what takes its place, as for a line of notes.ini.
 */
export function register(program: Command): void {
  const group = program.command('set').description('what Domino’s settings of DKIM mean here');
  withCommon(group.command('config'))
    .description('says what takes the place of DKIM_KEY_<domain>=… or RouterDKIMSigning=…; changes nothing')
    .argument('<setting>', 'as on Domino’s console: DKIM_KEY_example.com=12345')
    .action(setConfig);
}

async function setConfig(setting: string, options: CommonOptions): Promise<void> {
  if (!/^\s*(DKIM_KEY_[^=\s]+|RouterDKIMSigning)\s*=/i.test(setting)) {
    const text = `"set config ${setting}" is not understood: DKIM_KEY_<domain>=… and RouterDKIMSigning=… are`;
    throw usageError(`${text}. All else is set in sealpost.yaml, which a running node reads again when it changes`);
  }
  await reportNotesIni('set config', readNotesIni(setting.replace(/[\r\n]+/g, ' ')), options);
}
