import { printable } from '#shared/text.ts';
import type { PolicyCheck } from '../facts.ts';
import { isSrs } from '../rewrite/srs.ts';
import { defer, goOn, reject } from '../verdict.ts';
import { recipientsAt } from './as-named.ts';

/** A bounce for an SRS address of ours goes to the sender that it stands for (rewrite/srs.ts), whoever brings it. */
export const srsReturn: PolicyCheck<'recipient'> = (facts) => {
  const { rewriting, srs, domain, local, now } = facts;
  if (rewriting.srsDomain === undefined || domain !== rewriting.srsDomain || !isSrs(local)) return goOn();
  if (srs === undefined) return srsWithoutKey();
  const found = srs.reverse(local, now);
  if ('address' in found) {
    const why = [`an SRS address of ours, of ${printable(found.address)}`];
    return goOn(why, { recipients: recipientsAt([found.address], facts) });
  }
  return found.problem === 'expired'
    ? reject(550, '5.1.1', 'This address for bounces has expired', [
        'an SRS address of ours, older than rewrite.srs.valid-for',
      ])
    : reject(550, '5.7.1', 'This address for bounces is not of this server', ['an SRS address with a wrong hash']);
};

export function srsWithoutKey() {
  const why = ['rewrite.srs is configured, and its key cannot be read from credentials.nek'];
  return defer(451, '4.3.0', 'Address cannot be rewritten now, please try again later', why);
}
