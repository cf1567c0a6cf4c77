import { errorCode, SealpostError } from '#shared/errors.ts';
import type { NekStatus } from '#shared/keys/holders.ts';
import { type CommonOptions, print, readConfig, withStore } from '../context.ts';
import { addNek } from '../keys/nek-file.ts';
import { clean } from '../table.ts';
import { rotateTlsNek, tlsNekNamed } from './tls-nek.ts';

/** `sealpost keymgmt … NEK …`. Each sentence begins as Domino's does, for scripts that search for it. */

/** Needs no node: the first NEK is made before there is one. A running node reads its file again at every use. */
export async function create([name = '']: string[], options: CommonOptions) {
  const file = await nekFile(name, options);
  const { fingerprint } = await addNek(file, name);
  print(options, { name, fingerprint, file }, () =>
    [
      `NEK > NEK ${name} - Fingerprint ${fingerprint}`,
      `NEK ${name} created successfully in ${file}`,
      '',
      'Back this file up apart from the data, and copy the line of the NEK to the same file of every other node:',
      'without it no key can be used.',
    ].join('\n'),
  );
}

/**
 * Domino's `overwrite` replaces a NEK of the same name. What that NEK wraps could never be used again, so it is kept;
 * where there is none, one is made.
 */
export async function createOverwriting([name = '']: string[], options: CommonOptions) {
  try {
    await create([name], options);
  } catch (error) {
    if (errorCode(error) !== 'exists') throw error;
    throw new SealpostError(
      'exists',
      `NEK ${name} exists and is not overwritten, as no key that it wraps could be used again: make one with another name, ` +
        'and "sealpost keymgmt rotate nek <name>" wraps all keys with that',
    );
  }
}

async function nekFile(name: string, options: CommonOptions): Promise<string> {
  const { credentials } = await readConfig(options, ['credentials']);
  if (typeof credentials.nek === 'string') return credentials.nek;
  if (credentials.nek === undefined) {
    throw new SealpostError(
      'no-nek-file',
      'the configuration names no file for NEKs: add credentials: { nek: ./secrets/nek.key }',
    );
  }
  throw new SealpostError(
    'no-nek-file',
    `credentials.nek is the environment variable ${credentials.nek.env}, which no command can change: ` +
      `"sealpost keys nek ${name}" prints a new NEK; add it to the variable as another line`,
  );
}

export async function createStore([name = '']: string[], options: CommonOptions) {
  const nek = await withStore(options, (store) => store['nek-use']({ name }));
  print(options, nek, () =>
    [
      `NEK Fingerprint : ${nek.fingerprint}`,
      'Credential Store created successfully. It is one store for every node of the cluster.',
      ...lacking(nek),
    ].join('\n'),
  );
}

export async function showAll(_: string[], options: CommonOptions) {
  const { neks } = await withStore(options, (store) => store['nek-list']({}));
  print(options, { neks }, () => [...neks.map(line), 'Show All NEKs succeeded.'].join('\n'));
}

export async function show([name = '']: string[], options: CommonOptions) {
  const { neks } = await withStore(options, (store) => store['nek-list']({}));
  const nek = neks.find((n) => n.name === name);
  if (nek === undefined) {
    const known = neks.map((n) => n.name).join(', ');
    const others = known === '' ? 'it has none yet' : `it has ${known}`;
    throw new SealpostError('not-found', `the store knows no NEK ${name}: ${others}`);
  }
  print(options, nek, () => [line(nek), clean(`Show NEK ${name} succeeded.`)].join('\n'));
}

function line(nek: NekStatus): string {
  const facts = [
    `Name: ${nek.name}`,
    `Fingerprint ${nek.fingerprint}`,
    nek.current ? 'current' : 'not current',
    `Keys: ${nek.keys}`,
    `Nodes: ${nek.having.length === 0 ? 'none' : nek.having.join(', ')}`,
    ...(nek.lacking.length === 0 ? [] : [`Missing on: ${nek.lacking.join(', ')}`]),
  ];
  return clean(`NEK : ${facts.join(', ')}`);
}

export async function rotate([name = '']: string[], options: CommonOptions) {
  const ofCertificates = await tlsNekNamed(name, options);
  if (ofCertificates !== undefined) return await rotateTlsNek(ofCertificates, options);
  const answer = await withStore(options, (store) => store['nek-rotate']({ name }));
  const { nek, rewrapped } = answer;
  print(options, answer, () =>
    [
      `NEK > NEK ${nek.name} - Fingerprint ${nek.fingerprint}`,
      `${rewrapped} ${rewrapped === 1 ? 'key was' : 'keys were'} wrapped again; NEK ${nek.name} wraps all keys from now on`,
      ...lacking(nek),
    ].join('\n'),
  );
}

const lacking = (nek: NekStatus): string[] =>
  nek.lacking.length === 0
    ? []
    : [clean(`warning: NEK ${nek.name} is not in credentials.nek of ${nek.lacking.join(', ')}: add it there`)];

export async function remove([name = '']: string[], options: CommonOptions) {
  await withStore(options, (store) => store['nek-delete']({ name }));
  print(options, { name }, () =>
    [
      `Deleted NEK ${clean(name)}: the store no longer knows it.`,
      'Its line may now go from the NEK file of every node; keep a copy while backups of the data need it.',
    ].join('\n'),
  );
}
