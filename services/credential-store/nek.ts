/** Named encryption keys: signer and credential-store both read them, so the format is in shared. */
export { generateNek, type Nek, parseNek } from '#shared/nek.ts';
