import { normalizeDomain } from '#shared/address/address.ts';
import type { DomainEntry, ImportPlan, Remark, WantedKey } from '../plan.ts';
import { HarakaFolder } from './folder.ts';

/**
 * The keys of a Haraka: `dkim/<domain>/private` and `selector` in its folder config, and `dkim.private.key` with domain and
 * selector of dkim.ini (or of the older dkim_sign.ini), which signs for every sender without a key of its own.
 */
export async function planHarakaKeys(given: string): Promise<ImportPlan> {
  const folder = await HarakaFolder.open(given);
  const keys: WantedKey[] = [];
  const remarks: Remark[] = [];
  for (const name of await folder.folders('dkim')) {
    const place = `dkim/${name}`;
    const domain = normalizeDomain(name);
    const selector = (await folder.below(`${place}/selector`))?.trim();
    const there = (await folder.below(`${place}/private`)) !== undefined;
    if (selector === undefined || selector === '' || !there) {
      const missing = there ? 'selector' : 'private';
      remarks.push({ place, text: `has no file ${missing}: not taken`, problem: true });
    } else keys.push({ domain, selector, key: { file: folder.locate(`${place}/private`) }, place });
  }
  const every = await defaultKey(folder);
  if (every === undefined) return { keys, remarks, domains: [] };
  const text = `signs for every sender without a key of its own, as ${every.domain}: for each other domain that sends, add { name: <domain>, sign-as: ${every.domain} } to domains`;
  remarks.push({ place: 'dkim.private.key', text, problem: false });
  const known = new Set(keys.map(({ domain }) => domain));
  const domains = (await folder.lines('host_list'))
    .map(({ text: name }) => normalizeDomain(name))
    .filter((name) => name !== every.domain && !known.has(name))
    .map((name): DomainEntry => ({ name, signAs: every.domain }));
  return { keys: [...keys, every], remarks, domains };
}

async function defaultKey(folder: HarakaFolder): Promise<WantedKey | undefined> {
  if ((await folder.text('dkim.private.key')) === undefined) return undefined;
  const [now, old] = [await folder.ini('dkim.ini'), await folder.ini('dkim_sign.ini')];
  const domain = now.text('domain', 'sign') ?? old.text('domain');
  const selector = now.text('selector', 'sign') ?? old.text('selector');
  if (domain === undefined || selector === undefined) return undefined;
  return {
    domain: normalizeDomain(domain),
    selector,
    key: { file: folder.locate('dkim.private.key') },
    place: 'dkim.private.key',
  };
}
