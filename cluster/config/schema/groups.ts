import { z } from 'zod';
import { domain, network } from './values.ts';

/** The section `groups`: lists with a name, for the lists of hosts and domains elsewhere (DOMINO R1). */

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a group name is made of letters, digits, ".", "_" and "-"');

const groupHost = z.union([network, domain], {
  error: (i) => `${JSON.stringify(i.input)} is not an IP address, a network or a host name`,
});

export const groupsSection = z
  .strictObject({
    hosts: z
      .record(name, z.array(groupHost).min(1))
      .prefault({})
      .describe(
        'groups of IP addresses, networks and host names, by name: group:NAME in a list of hosts stands for them',
      )
      .meta({ kind: 'name: list of text' }),
    domains: z
      .record(name, z.array(domain).min(1))
      .prefault({})
      .describe('groups of domains, by name: group:NAME in a list of domains stands for them')
      .meta({ kind: 'name: list of text' }),
  })
  .prefault({});
