import { everybodyMay } from '#cluster/config/secrets.ts';
import type { Finding } from '../doctor/finding.ts';
import type { FileFault, Pair, TlsFacts, TlsFile } from './facts.ts';

/** Whether each file is there, and is what its option wants. */

type Check = (facts: TlsFacts) => Finding[];

const faulty =
  (...kinds: FileFault['kind'][]): Check =>
  ({ pairs }) =>
    pairs
      .filter((pair) => !isSwapped(pair))
      .flatMap(({ certificate, key }) => [certificate, key])
      .flatMap(({ file, fault }: TlsFile<unknown>): Finding[] => {
        if (fault === undefined || !kinds.includes(fault.kind)) return [];
        return [{ severity: 'error', about: file, text: fault.text, help: fault.help }];
      });

export const FILE_CHECKS: Record<string, Check> = {
  'file-missing': faulty('missing'),
  'file-unreadable': faulty('unreadable'),
  'not-pem': faulty('other-form'),
  'wrong-content': faulty('other-content'),
  'key-encrypted': faulty('encrypted'),

  'names-swapped': ({ pairs }) =>
    pairs.filter(isSwapped).map(({ certificate, key }) => ({
      severity: 'error',
      about: certificate.file,
      text: `is the private key, and ${key.file} the certificate: ${certificate.option} and ${key.option} are swapped`,
      help: 'name each file in the place of the other',
    })),

  'key-readable': ({ pairs }) => pairs.flatMap(({ key }) => readable(key)),
};

function isSwapped({ certificate, key }: Pair): boolean {
  return certificate.fault?.holds === 'a private key' && key.fault?.holds === 'a certificate';
}

/** A group for those who may read keys is a usual way to let a service read one. */
function readable({ file, mode = 0, content, fault }: Pair['key']): Finding[] {
  const isKey = content !== undefined || fault?.kind === 'encrypted' || fault?.kind === 'other-form';
  if (!isKey) return [];
  const help = `chmod 600 ${file}, as the user of the service`;
  const everybody = everybodyMay(mode);
  if (everybody !== undefined) return [{ severity: 'warning', about: file, text: everybody, help }];
  if ((mode & 0o060) === 0) return [];
  return [
    {
      severity: 'note',
      about: file,
      text: `is open to its group (mode ${mode.toString(8)})`,
      help: `see that nobody else is in that group, or ${help}`,
    },
  ];
}
