import { z } from 'zod';
import { domainOrAny, host } from './values.ts';

/** The section `relay`: who may send mail to domains that are not local. */

const hostsAndDomains = z
  .strictObject({
    hosts: z.array(host).prefault([]).describe('IP addresses, networks, host names with everything below them, or *'),
    domains: z.array(domainOrAny).prefault([]).describe('domains with everything below them, or *'),
  })
  .prefault({});

export const relaySection = z
  .strictObject({
    allow: hostsAndDomains.describe('hosts that may relay anywhere; domains that any host may relay to'),
    deny: hostsAndDomains.describe('hosts that may never relay; domains that no host may relay to'),
  })
  .prefault({});
