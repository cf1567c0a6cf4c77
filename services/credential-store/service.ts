import { join } from 'node:path';
import { loadNek } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/settings.ts';
import {
  type CredentialStoreContract,
  credentialStoreContract,
  type KeyAlgorithm,
  KeyInfo,
  type SigningKey,
} from '#services/credential-store/contract.ts';
import { generateKey } from '#services/credential-store/generate.ts';
import { checkKeyName, type KeyName, normalizeKeyName } from '#services/credential-store/key-name.ts';
import { KeyStore, notFound, recordKey } from '#services/credential-store/key-store.ts';
import { normalizeDomain } from '#shared/address.ts';
import type { Announce, Service } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import { assertWrappedBy, wrapKey } from '#shared/key-wrap.ts';
import type { Logger } from '#shared/log.ts';
import type { Nek } from '#shared/nek.ts';

/**
 * Makes DKIM keys, wraps them with the configured NEK, keeps them and tells signers about changes.
 *
 * It never opens a wrapped key, and holds the NEK only while it makes one. All keys are under one NEK: with
 * another in the configuration it does not start, and does not create; it never begins anew beside keys that nobody
 * can open. With no NEK configured, everything but `create` works.
 */
export type CredentialStoreDeps = {
  settings: Settings;
  log: Logger;
  announce: Announce<CredentialStoreContract>;
};

/** Keys in one page of `signingKeys`: 200 RSA-4096 keys are 850 KB, below the 1 MB that NATS carries. */
const PAGE = 200;

export function createCredentialStoreService(deps: CredentialStoreDeps): Service<CredentialStoreContract> {
  let keys: KeyStore | undefined;

  const opened = (): KeyStore => {
    if (keys === undefined) throw new SealpostError('unavailable', 'the credential-store is not started');
    return keys;
  };

  return {
    contract: credentialStoreContract,

    async start() {
      const { node, credentials } = deps.settings.current;
      keys = await KeyStore.open(join(node.data, 'credentials'), deps.log);
      const nek = await loadNek(credentials.nek, deps.log);
      checkNek(keys, nek, deps.log);
      deps.log.info({ keys: keys.all().length, revision: keys.revision, nek: nek?.name }, 'credential-store is open');
    },

    async stop() {
      await keys?.close();
      keys = undefined;
    },

    handlers: {
      signingKeys: ({ after }) => {
        const active = opened()
          .all()
          .filter((k) => k.state === 'active' && (after === undefined || recordKey(k) > after));
        const page = active.slice(0, PAGE);
        const last = page.at(-1);
        return {
          revision: opened().revision,
          keys: page,
          ...(active.length > PAGE && last !== undefined ? { next: recordKey(last) } : {}),
        };
      },

      create: (request) => create(opened(), deps, request),

      list: ({ domain }) => {
        const wanted = domain === undefined ? undefined : normalizeDomain(domain);
        const listed = opened()
          .all()
          .filter((k) => wanted === undefined || k.domain === wanted);
        return { keys: listed.map(publicPart) };
      },

      get: (request) => {
        const name = normalizeKeyName(request);
        const key = opened().get(name);
        if (key === undefined) throw notFound(name);
        return publicPart(key);
      },

      delete: async (request) => {
        const name = normalizeKeyName(request);
        await opened().remove(name);
        deps.log.info(name, 'key deleted');
        deps.announce('changed', { revision: opened().revision });
        return {};
      },
    },
  };
}

/** `KeyInfo` strips what is not in it: the wrapped key. */
const publicPart = (key: SigningKey): KeyInfo => KeyInfo.parse(key);

/** Fails with `nek-mismatch` when the keys were wrapped with another NEK than the configured one. */
function checkNek(keys: KeyStore, nek: Nek | undefined, log: Logger): void {
  const all = keys.all();
  if (nek !== undefined) for (const key of all) assertWrappedBy(nek, key, key.wrapped);
  else if (all.length > 0) {
    const text = 'no named encryption key is configured (credentials.nek): the stored keys can be listed, but not used';
    log.warn({ keys: all.length }, text);
  }
}

type CreateRequest = { domain: string; selector: string; algorithm: KeyAlgorithm; allowWeak: boolean };

async function create(keys: KeyStore, deps: CredentialStoreDeps, request: CreateRequest): Promise<KeyInfo> {
  const name = checkKeyName(request);
  const { algorithm } = request;
  assertStrong(algorithm, request.allowWeak, name, deps.log);
  const nek = await nekFor(keys, deps);
  if (!keys.reserve(name)) {
    throw new SealpostError(
      'exists',
      `${name.domain} has a key with selector ${name.selector} already: choose another selector, one is never used twice`,
    );
  }
  const key = await makeKey(nek, name, algorithm).catch((error: unknown) => {
    keys.release(name);
    throw error;
  });
  await keys.add(key);
  deps.log.info({ ...name, algorithm, fingerprint: key.fingerprint }, 'key created');
  deps.announce('changed', { revision: keys.revision });
  return publicPart(key);
}

async function makeKey(nek: Nek, name: KeyName, algorithm: KeyAlgorithm): Promise<SigningKey> {
  const { privateKey, publicKey, fingerprint } = await generateKey(algorithm);
  return {
    ...name,
    algorithm,
    // The life of a key is created → replicated → published → proven → active → …; one node cannot yet observe the
    // steps between, so a key signs from the moment it is made. Whoever creates one publishes its record first.
    state: 'active',
    created: Date.now(),
    fingerprint,
    publicKey,
    wrapped: wrapKey(nek, { ...name, algorithm }, privateKey),
  };
}

/** RFC 8301 §3.2: signers must not use fewer than 1024 bits and should use 2048. */
function assertStrong(algorithm: KeyAlgorithm, allowWeak: boolean, name: KeyName, log: Logger): void {
  if (algorithm !== 'rsa-1024') return;
  if (!allowWeak) {
    throw new SealpostError(
      'weak-key',
      'an RSA key of 1024 bits can be broken: use rsa-2048 or ed25519; only where DNS cannot publish more, allow it with --allow-weak',
    );
  }
  log.warn({ ...name, algorithm }, 'a weak key was asked for: replace it with rsa-2048 as soon as DNS can publish it');
}

async function nekFor(keys: KeyStore, deps: CredentialStoreDeps): Promise<Nek> {
  let nek: Nek | undefined;
  try {
    nek = await loadNek(deps.settings.current.credentials.nek, deps.log);
  } catch (error) {
    throw new SealpostError('no-nek', 'no key can be made', { cause: error });
  }
  if (nek === undefined) {
    throw new SealpostError(
      'no-nek',
      'no named encryption key is configured: make one with "sealpost keys nek <name>" and set credentials.nek',
    );
  }
  checkNek(keys, nek, deps.log);
  return nek;
}
