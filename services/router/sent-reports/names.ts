/** Names of strangers, as reports have them. */

/** Names that a record may be found at; what else is called a domain is not counted. */
export const DOMAIN = /^(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/;

/** An IPv4 address in its own form; without the name of an interface. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}
