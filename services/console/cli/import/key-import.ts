import { loadNeks } from '#cluster/config/nek.ts';
import { isWeak } from '#shared/dkim/algorithms.ts';
import { checkNameInUse } from '#shared/dkim/key-name.ts';
import { wrapKey } from '#shared/dkim/key-wrap.ts';
import { describeNek, describeNeks, findNek, type Nek } from '#shared/dkim/nek.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { silentLogger } from '#shared/log.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { type CommonOptions, readConfig } from '../context.ts';
import type { WantedKey } from './plan.ts';
import { type PrivateKey, parsePrivateKey, readPrivateKey } from './private-key.ts';

/**
 * Takes keys into the store. A private key never crosses the bus in clear: it is read here, wrapped here with the
 * current NEK, and sent wrapped.
 */

export type ImportOptions = CommonOptions & { allowWeak?: boolean; activate?: boolean; dryRun?: boolean };

/** What became of one key. `absent`: it would be imported; this was a dry run. */
export type ImportOutcome = { wanted: WantedKey } & (
  | { result: 'imported' | 'there'; key: KeyStatus }
  | { result: 'absent' | 'unknown'; algorithm: string; fingerprint: string }
  | { result: 'failed'; code: string; reason: string }
);

type Ready = { wanted: WantedKey; name: { domain: string; selector: string }; own: PrivateKey };

/**
 * The NEK that wraps new keys, from the configuration here. A store that has none yet begins with the one that is
 * configured. Fails with `no-nek`.
 */
export async function currentNek(store: CredentialStore, options: CommonOptions): Promise<Nek> {
  const { credentials } = await readConfig(options, ['credentials']);
  const neks = await loadNeks(credentials.nek, silentLogger);
  const known = (await store['nek-list']({})).neks.find((n) => n.current) ?? (await firstNek(store, neks));
  const nek = findNek(neks, known.fingerprint);
  if (nek !== undefined) return nek;
  throw new SealpostError(
    'no-nek',
    `the store wraps keys with NEK ${describeNek(known)}, and credentials.nek has ${describeNeks(neks)} on this machine: run this where that NEK is`,
  );
}

async function firstNek(store: CredentialStore, neks: readonly Nek[]): Promise<{ name: string; fingerprint: string }> {
  const [nek, ...others] = neks;
  if (nek === undefined) {
    throw new SealpostError(
      'no-nek',
      'no named encryption key is configured: "sealpost keymgmt create nek <name>" makes one',
    );
  }
  if (others.length > 0) {
    throw new SealpostError(
      'no-nek',
      `the store has no NEK yet, and several are configured, ${describeNeks(neks)}: say which one with "sealpost keymgmt create credstore <name>"`,
    );
  }
  return store['nek-use']({ name: nek.name });
}

/** Read, check, wrap and send each key. A problem with one does not stop the others. */
export async function importKeys(
  store: CredentialStore,
  wanted: readonly WantedKey[],
  options: ImportOptions,
): Promise<ImportOutcome[]> {
  const prepared = await prepare(wanted, options);
  // Nothing is asked of the store, nor changed, for keys that cannot be taken.
  let nek: Nek | undefined;
  const outcomes: ImportOutcome[] = [];
  for (const item of prepared) {
    if ('result' in item) outcomes.push(item);
    else {
      outcomes.push(
        await attempt(item, async () => {
          const there = await find(store, item);
          if (there !== undefined) return { wanted: item.wanted, result: 'there', key: there };
          if (options.dryRun) return { wanted: item.wanted, result: 'absent', ...publicPart(item.own) };
          nek ??= await currentNek(store, options);
          return { wanted: item.wanted, result: 'imported', key: await send(store, nek, item, options) };
        }),
      );
    }
  }
  return outcomes;
}

/** The same without a store: what can be said of the files alone. */
export async function examineKeys(wanted: readonly WantedKey[], options: ImportOptions): Promise<ImportOutcome[]> {
  const prepared = await prepare(wanted, options);
  return prepared.map((item) =>
    'result' in item ? item : { wanted: item.wanted, result: 'unknown', ...publicPart(item.own) },
  );
}

const publicPart = ({ algorithm, fingerprint }: PrivateKey) => ({ algorithm, fingerprint });

async function prepare(wanted: readonly WantedKey[], options: ImportOptions): Promise<(Ready | ImportOutcome)[]> {
  const items: (Ready | ImportOutcome)[] = [];
  for (const one of wanted) {
    items.push(
      await attempt({ wanted: one }, async (): Promise<Ready> => {
        const name = checkNameInUse(one);
        const own =
          'file' in one.key
            ? await readPrivateKey(one.key.file)
            : parsePrivateKey(one.key.text, `the key in ${one.place}`);
        assertStrong(own, options);
        return { wanted: one, name, own };
      }),
    );
  }
  return items;
}

function assertStrong({ algorithm }: PrivateKey, { allowWeak = false }: ImportOptions): void {
  if (!isWeak(algorithm) || allowWeak) return;
  throw new SealpostError(
    'weak-key',
    'an RSA key of 1024 bits can be broken: make a new one with "sealpost keys create", or take it nevertheless with --allow-weak',
  );
}

/** The same key, where the store has it. Fails with `exists` when another one has its name. */
async function find(store: CredentialStore, { name, own }: Ready): Promise<KeyStatus | undefined> {
  try {
    const key = await store['key-show'](name);
    if (key.fingerprint === own.fingerprint) return key;
    throw new SealpostError(
      'exists',
      `the store has another key of this name (${key.state}, ${key.fingerprint.slice(0, 23)}…), made on ${new Date(key.created).toISOString().slice(0, 10)}: it is kept`,
    );
  } catch (error) {
    if (errorCode(error) === 'not-found') return undefined;
    throw error;
  }
}

function send(
  store: CredentialStore,
  nek: Nek,
  { wanted, name, own }: Ready,
  options: ImportOptions,
): Promise<KeyStatus> {
  const { algorithm, publicKey, privateKey } = own;
  const activate = options.activate ?? wanted.activate;
  return store['key-import']({
    ...name,
    algorithm,
    publicKey,
    wrapped: wrapKey(nek, { ...name, algorithm }, privateKey),
    allowWeak: options.allowWeak ?? false,
    ...(activate !== undefined && { activate }),
  });
}

/** The result of `act`, or its failure as the outcome of the key, unless every other key would fail with it too. */
async function attempt<T>({ wanted }: { wanted: WantedKey }, act: () => Promise<T>): Promise<T | ImportOutcome> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof SealpostError) || CONCERNS_ALL.has(error.code)) throw error;
    return { wanted, result: 'failed', code: error.code, reason: errorText(error).replace(` (${error.code})`, '') };
  }
}

/** What every other key would meet too. */
const CONCERNS_ALL = new Set<ErrorCode>([
  'no-node',
  'unavailable',
  'no-nek',
  'config-invalid',
  'secret-missing',
  'secret-unreadable',
  'nek-invalid',
]);
