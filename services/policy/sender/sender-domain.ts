import { domainOf } from '#shared/address/address.ts';
import { printable } from '#shared/text.ts';
import type { PolicyCheck } from '../facts.ts';
import { defer, goOn, refuseStranger, reject } from '../verdict.ts';

/** The domain of the reverse-path must be one that a reply or a bounce could go to (`checks.sender-domain`). */
export const senderDomain: PolicyCheck<'sender'> = ({ reversePath, senderDomain: found, nameMatters }) => {
  if (found === undefined) return goOn();
  if ('exempt' in found) return goOn([`domain of the sender is not looked up: ${found.exempt}`]);
  const domain = printable(domainOf(reversePath));
  switch (found.kind) {
    case 'exists':
      return goOn([`${domain} has ${found.by === 'MX' ? 'MX records' : 'an address'}`]);
    case 'null-mx':
      // The codes of RFC 7505 §4.2.
      return refuseStranger(
        nameMatters,
        reject(550, '5.7.27', `Sender domain ${domain} takes no mail: it has a null MX`, [`${domain} has a null MX`]),
      );
    case 'missing': {
      const why = [`${domain} ${found.name ? 'has neither MX nor address records' : 'does not exist in DNS'}`];
      return refuseStranger(nameMatters, reject(550, '5.1.8', `Sender domain ${why[0]}`, why));
    }
    case 'trouble': {
      const why = [`${domain} cannot be looked up: ${found.error}`];
      if (found.onTrouble === 'accept') return goOn([...why, 'checks.sender-domain.on-trouble is accept']);
      return defer(451, '4.4.3', `Sender domain ${domain} cannot be looked up now, please try again later`, why);
    }
  }
};
