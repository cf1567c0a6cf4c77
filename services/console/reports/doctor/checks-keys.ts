import { isWeak } from '#shared/dkim/algorithms.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import { formatDuration } from '#shared/units.ts';
import { leavesNothing, removalText } from '../keys/record.ts';
import { exposureText, nextText } from '../keys/text.ts';
import { type Check, type Facts, type Finding, keyArguments, keyName, listText } from './finding.ts';

/** Whether the keys are good, and come on. */

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** How long a step that needs no administrator may take. */
const STEP_MS = 10 * MINUTE_MS;
/** How long a key may lie idle. */
const IDLE_MS = 7 * DAY_MS;

/** States in which a key signs or is to sign. */
const COMING = new Set<KeyStatus['state']>(['created', 'replicated', 'published', 'proven', 'active']);

export const KEY_CHECKS: Record<string, Check> = {
  'key-weak': ({ keys }) =>
    keys
      .filter(({ key }) => isWeak(key.algorithm) && COMING.has(key.state))
      .map((checked) => ({
        severity: 'warning',
        about: keyName(checked),
        text: 'is an RSA key of 1024 bits, which can be broken and which some receivers refuse (RFC 8301)',
        help: `make a better one, "sealpost keys create ${checked.key.domain} <selector> rsa-2048", and retire this one when that signs`,
      })),

  'selector-underscore': ({ keys }) =>
    keys
      .filter(({ key }) => key.selector.includes('_') && COMING.has(key.state))
      .map((checked) => ({
        severity: 'warning',
        about: keyName(checked),
        text: 'has a selector with "_", and strict verifiers refuse its signatures (RFC 6376 §3.1)',
        help: `make one with another name: "sealpost keys rotate ${checked.key.domain} --from ${checked.key.selector}"`,
      })),

  'key-unused': ({ keys, now }) =>
    keys
      .filter(({ key }) => key.state === 'proven' && !key.activate && now - key.since > IDLE_MS)
      .map((checked) => ({
        severity: 'note',
        about: keyName(checked),
        text: `was proven ${formatDuration(now - checked.key.since)} ago and never signed`,
        help: `"sealpost keys activate ${keyArguments(checked)}" lets it sign; or "sealpost keys delete ${keyArguments(checked)}" removes it`,
      })),

  'key-stopped': ({ keys }) =>
    keys.flatMap((checked) => {
      const { problem, domain } = checked.key;
      if (!problem?.permanent) return [];
      const text = `is held up, and tried again every 10 minutes: ${problem.text}`;
      const help = `fix the cause; "sealpost keys resume ${domain}" tries again immediately`;
      return [{ severity: 'error', about: keyName(checked), text, help }];
    }),

  'key-exposed': ({ keys }) =>
    keys.flatMap((checked) => {
      const text = exposureText(checked.key);
      const { publish, record, domain } = checked.key;
      const byHand = leavesNothing(checked.key)
        ? removalText(checked.key)
        : `publish what "sealpost keys export-dns ${keyArguments(checked)}" prints, or remove the record at ${record}`;
      const help = publish === 'manual' ? byHand : `let ${domain} be updated, or do it by hand: ${byHand}`;
      return text === '' ? [] : [{ severity: 'error', about: keyName(checked), text, help }];
    }),

  'key-slow': slow,
  'key-unusable': unusable,
  'rotation-stopped': ({ rotations }) => rotations.flatMap(stopped),
  'rotation-slow': ({ rotations, now }) => rotations.flatMap((rotation) => waiting(rotation, now)),
};

/** States of keys whose record is to be changed for the last times. */
const GOING = new Set<KeyStatus['state']>(['retired', 'revoked']);

/** A key that should have come on by itself. What waits for DNS is told by what DNS says. */
function slow({ keys, now }: Facts): Finding[] {
  return keys.flatMap((checked) => {
    const { key } = checked;
    const waits =
      key.state === 'created' ||
      (key.state === 'replicated' && key.publish !== 'manual') ||
      (key.state === 'proven' && key.activate) ||
      (GOING.has(key.state) && key.publish !== 'manual' && key.problem !== undefined);
    const since = GOING.has(key.state) ? (key.problem?.since ?? now) : key.since;
    if (!waits || key.problem?.permanent || key.exposed || now - since < STEP_MS) return [];
    const why = key.problem?.text ?? nextText(key);
    const text = `has been ${key.state} for ${formatDuration(now - key.since)}: ${why}`;
    const help = `"sealpost keys show ${keyArguments(checked)}" shows what it waits for`;
    return [{ severity: 'warning', about: keyName(checked), text, help }];
  });
}

/** Signers that could not sign with a key when they were asked to. */
function unusable({ keys }: Facts): Finding[] {
  return keys.flatMap((checked) => {
    const { key, unproven } = checked;
    // A new key is on its way to them.
    if (!COMING.has(key.state) || key.state === 'created') return [];
    return [...Map.groupBy(unproven, (u) => u.reason)].map(
      ([reason, those]): Finding => ({
        severity: key.state === 'active' ? 'error' : 'warning',
        about: keyName(checked),
        text: `the signer of ${listText(those.map((u) => u.node))} cannot use it: ${reason}`,
        help: `see the log of the signer there, and that credentials.nek has NEK ${key.nek ?? 'of the key'}`,
      }),
    );
  });
}

function stopped({ domain, state, waiting: why }: RotationStatus): Finding[] {
  const about = `rotation of ${domain}`;
  const because = why === undefined ? '' : `: ${why}`;
  const resume = `"sealpost keys resume ${domain}"`;
  if (state === 'stopped') {
    const help = `fix the cause; ${resume} tries again immediately; or "sealpost keys rollback ${domain}" takes it back`;
    return [{ severity: 'error', about, text: `is held up, and tried again every 10 minutes${because}`, help }];
  }
  if (state !== 'frozen') return [];
  return [{ severity: 'warning', about, text: why ?? 'is frozen', help: `${resume} continues it` }];
}

function waiting(rotation: RotationStatus, now: number): Finding[] {
  const { domain, state, started, waiting: why } = rotation;
  // Two keys that sign side by side were asked to take their time.
  const sideBySide = rotation.sideBySideUntil !== undefined && now < rotation.sideBySideUntil;
  if (state !== 'running' || sideBySide || now - started < DAY_MS) return [];
  const text = `has been running for ${formatDuration(now - started)}: ${why ?? 'it is not known what it waits for'}`;
  const help = `"sealpost keys watch ${domain}" shows how it goes`;
  return [{ severity: 'warning', about: `rotation of ${domain}`, text, help }];
}
