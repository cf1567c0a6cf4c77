import { counter } from '#shared/metrics.ts';

/** `outcome`: signed, unsigned (best effort), hold, refuse, not-configured */
export const signatures = counter('signing_total', 'Messages given to the signer, by what became of them', ['outcome']);
