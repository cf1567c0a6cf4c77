import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { formatSize } from '#shared/units.ts';
import { allowed, type Resolve, type Target } from '../destinations.ts';

/** Larger reports are not sent: few servers would take them. */
const MOST_BYTES = 20 * 2 ** 20;

type About = { domain: string; size: number };
type Deps = { log: Logger; resolve: Resolve };

/** The addresses that take a report on this domain of this size; `later`: DNS does not tell now. */
export async function takers(targets: readonly Target[], about: About, deps: Deps): Promise<string[] | 'later'> {
  // All at once: name servers that are silent cost one time-out.
  const answers = await Promise.all(targets.map((target) => takersOf(target, about, deps)));
  const found = new Set(answers.flatMap((answer) => (answer === 'later' ? [] : answer)));
  return found.size === 0 && answers.includes('later') ? 'later' : [...found];
}

async function takersOf(target: Target, { domain, size }: About, { log, resolve }: Deps): Promise<string[] | 'later'> {
  const about = { domain, to: target.address };
  try {
    const those = await allowed(domain, target, resolve);
    if (those.length === 0)
      log.info(about, 'DMARC report: its reader does not say in DNS that it takes reports on this domain');
    return those.flatMap(({ address, most }) => {
      if (size <= Math.min(most, target.most, MOST_BYTES)) return [address];
      log.info({ domain, to: address, size: formatSize(size) }, 'DMARC report: it is larger than its reader takes');
      return [];
    });
  } catch (error) {
    const text = 'DMARC report: DNS does not tell now whether its reader takes it';
    log.info({ ...about, error: errorText(error) }, text);
    return 'later';
  }
}
