import type { SessionFacts } from '#services/policy/contract.ts';

/**
 * Who may send where under which relay rules, as Domino's administrators know them (R1-R8): a matrix of clients and
 * recipients for each configuration, worked out by hand from the rules in docs/operate/users-and-relaying.md. A cell is the code of
 * the reply to RCPT, with its enhanced code where other refusals could have the same code.
 *
 * `example.com` is local in all of them, and alice@example.com exists.
 */

type Client = { address: string; name: string | null | undefined; gateway?: boolean; user?: string };

/** `name`: confirmed by DNS; null: there is none; undefined: DNS does not answer. */
export const CLIENTS: Record<string, Client> = {
  outside: { address: '192.0.2.7', name: 'mail.example.org' },
  nameless: { address: '192.0.2.130', name: null },
  unknown: { address: '198.51.100.9', name: undefined },
  inside: { address: '10.1.2.3', name: null },
  staff: { address: '203.0.113.5', name: 'pc7.example.com' },
  lookalike: { address: '203.0.113.6', name: 'pc.notexample.com' },
  excluded: { address: '192.0.2.25', name: null },
  gateway: { address: '10.0.0.1', name: 'gw.example.com', gateway: true },
  user: { address: '192.0.2.7', name: 'mail.example.org', user: 'Alice' },
  insider: { address: '10.1.2.3', name: null, user: 'Alice' },
};

export type Scenario = {
  title: string;
  relay: Record<string, unknown>;
  cells: { client: string; to: string; expected: string }[];
};

/** The rows of the matrix name recipients; its columns are for those of `CLIENTS` in the first line. */
function scenario(title: string, relay: Record<string, unknown>, matrix: string): Scenario {
  const [head = [], ...rows] = matrix
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const cells = rows.flatMap(([to = '', ...codes]) => {
    if (codes.length !== head.length) throw new Error(`${title}: ${to} has ${codes.length} cells`);
    return codes.map((expected, i) => ({ client: head[i] ?? '', to, expected }));
  });
  return { title, relay, cells };
}

/** What the groups of the configuration are. */
export const GROUPS = {
  hosts: { office: ['10.0.0.0/8', 'example.org'], mixed: ['192.0.2.25', '203.0.113.0/24'] },
  domains: { partners: ['partner.test', 'friend.test'] },
};

export const SCENARIOS: Scenario[] = [
  scenario(
    'R1 nothing is set: closed',
    {},
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      554     554    554   554       554      554     250  250
    x@partner.test        554     554      554     554    554   554       554      554     250  250
    x@[192.0.2.1]         554     554      554     554    554   554       554      554     250  250
    alice@example.com     250     250      250     250    250   250       250      250     250  250
    x@sub.example.com     554     554      554     554    554   554       554      554     250  250
    x@notexample.com      554     554      554     554    554   554       554      554     250  250`,
  ),

  scenario(
    'R1 hosts by network',
    { allow: { hosts: ['10.0.0.0/8'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      554     250    554   554       554      554     250  250
    x@sub.example.com     554     554      554     250    554   554       554      554     250  250
    alice@example.com     250     250      250     250    250   250       250      250     250  250`,
  ),

  scenario(
    'R1 hosts by name, by whole labels',
    { allow: { hosts: ['example.org', 'example.com'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            250     554      451     554    250   554       554      554     250  250
    alice@example.com     250     250      250     250    250   250       250      250     250  250`,
  ),

  scenario(
    'R1 domains with everything below them, by whole labels',
    { allow: { domains: ['partner.test'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@partner.test        250     250      250     250    250   250       250      250     250  250
    x@a.b.partner.test    250     250      250     250    250   250       250      250     250  250
    x@PARTNER.test        250     250      250     250    250   250       250      250     250  250
    x@notpartner.test     554     554      554     554    554   554       554      554     250  250
    x@partner.test.far.test 554   554      554     554    554   554       554      554     250  250
    x@test                554     554      554     554    554   554       554      554     250  250`,
  ),

  scenario(
    'R1 groups',
    { allow: { hosts: ['group:office'], domains: ['group:partners'] }, deny: { hosts: ['group:mixed'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            250     554      451     250    554   554       554      554     250  250
    x@friend.test         250     250      250     250    554   554       554      250     250  250
    x@sub.partner.test    250     250      250     250    554   554       554      250     250  250`,
  ),

  scenario(
    'R2 an allow list of hosts denies everything else',
    { allow: { hosts: ['10.0.0.0/8'] }, deny: { hosts: ['*'], domains: ['*'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      554     250    554   554       554      554     250  250
    x@partner.test        554     554      554     250    554   554       554      554     250  250
    alice@example.com     250     250      250     250    250   250       250      250     250  250`,
  ),

  scenario(
    'R2 a deny list of hosts allows everything else, where * says so',
    { allow: { hosts: ['*'] }, deny: { hosts: ['192.0.2.0/25'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     250      250     250    250   250       554      250     250  250
    x@partner.test        554     250      250     250    250   250       554      250     250  250
    alice@example.com     250     250      250     250    250   250       250      250     250  250`,
  ),

  scenario(
    'R2 a deny list of domains allows everything else, where * says so',
    { allow: { domains: ['*'] }, deny: { domains: ['evil.test'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            250     250      250     250    250   250       250      250     250  250
    x@evil.test           554     554      554     554    554   554       554      554     250  250
    x@sub.evil.test       554     554      554     554    554   554       554      554     250  250
    x@notevil.test        250     250      250     250    250   250       250      250     250  250`,
  ),

  scenario(
    'R2 a deny list alone opens nothing',
    { deny: { hosts: ['192.0.2.7'], domains: ['evil.test'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      554     554    554   554       554      554     250  250
    x@evil.test           554     554      554     554    554   554       554      554     250  250`,
  ),

  scenario(
    'R2 on conflict deny wins',
    {
      allow: { hosts: ['10.0.0.0/8', '192.0.2.0/25'], domains: ['partner.test'] },
      deny: { hosts: ['192.0.2.7'], domains: ['evil.test', 'secret.partner.test'] },
    },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      554     250    554   554       250      554     250  250
    x@partner.test        554     250      250     250    250   250       250      250     250  250
    x@secret.partner.test 554     554      554     554    554   554       554      554     250  250
    x@evil.test           554     554      554     554    554   554       554      554     250  250`,
  ),

  scenario(
    'SMTPRelayHostsandDomain 0: on conflict allow wins',
    {
      precedence: 'allow',
      allow: { hosts: ['10.0.0.0/8', '192.0.2.0/25'], domains: ['partner.test'] },
      deny: { hosts: ['192.0.2.7', '203.0.113.5'], domains: ['evil.test', 'secret.partner.test'] },
    },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            250     554      554     250    554   554       250      554     250  250
    x@partner.test        250     250      250     250    250   250       250      250     250  250
    x@secret.partner.test 250     250      250     250    250   250       250      250     250  250
    x@evil.test           250     554      554     250    554   554       250      554     250  250`,
  ),

  scenario(
    'R2 allow wins: a named entry comes before * all the same',
    { precedence: 'allow', allow: { hosts: ['*'] }, deny: { hosts: ['192.0.2.7'], domains: ['evil.test'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     250      250     250    250   250       250      250     250  250
    x@evil.test           554     554      554     554    554   554       554      554     250  250`,
  ),

  scenario(
    'R2 * against *: deny wins',
    { allow: { hosts: ['*'], domains: ['partner.test'] }, deny: { domains: ['*'] } },
    `
                          outside nameless inside gateway user
    x@far.test            554     554      554    554     250
    x@partner.test        250     250      250    250     250`,
  ),

  scenario(
    'R2 * against *: allow wins',
    { precedence: 'allow', allow: { hosts: ['*'] }, deny: { domains: ['*'] } },
    `
                          outside nameless inside gateway user
    x@far.test            250     250      250    250     250`,
  ),

  scenario(
    'R3 all hosts are checked, internal ones too',
    { internal: { hosts: ['10.0.0.0/8'], names: true } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      554     554    554   554       554      554     250  250
    alice@example.com     250     250      250     250    250   250       250      250     250  250`,
  ),

  scenario(
    'R3 only external hosts are checked',
    {
      scope: 'external',
      internal: { hosts: ['10.0.0.0/8'] },
      deny: { hosts: ['*', '10.1.2.3'], domains: ['evil.test'] },
    },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      554     250    554   554       554      554     250  250
    x@evil.test           554     554      554     250    554   554       554      554     250  250`,
  ),

  scenario(
    'R3 no host is checked',
    { scope: 'none', deny: { hosts: ['192.0.2.7'], domains: ['*', 'evil.test'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            250     250      250     250    250   250       250      250     250  250
    x@evil.test           250     250      250     250    250   250       250      250     250  250
    bob%far.test@far.test 550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 250 250`,
  ),

  scenario(
    'R4 a confirmed name in a local domain is internal, no name is external',
    { scope: 'external', internal: { names: true } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      451     554    250   554       554      554     250  250
    alice@example.com     250     250      250     250    250   250       250      250     250  250`,
  ),

  scenario(
    'R4 networks and names',
    { scope: 'external', internal: { hosts: ['10.0.0.0/8', 'example.org'], names: true } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            250     554      451     250    250   554       554      554     250  250`,
  ),

  scenario(
    'R5 excluded hosts, whatever the deny lists say',
    { exclude: ['192.0.2.25'], deny: { hosts: ['192.0.2.0/24', '*'], domains: ['evil.test'] } },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            554     554      554     554    554   554       250      554     250  250
    x@evil.test           554     554      554     554    554   554       250      554     250  250`,
  ),

  scenario(
    'R5 hosts excluded by name and by group',
    { exclude: ['example.org', 'group:mixed'] },
    `
                          outside nameless unknown inside staff lookalike excluded gateway user insider
    x@far.test            250     554      451     554    250   250       250      554     250  250`,
  ),

  scenario(
    'R5 authenticated users are exempt, whatever the lists say',
    { deny: { hosts: ['*', '192.0.2.7', '10.0.0.0/8'], domains: ['*', 'evil.test'] } },
    `
                          outside inside user insider
    x@far.test            554     554    250  250
    x@evil.test           554     554    250  250`,
  ),

  scenario(
    'R5 authenticated users are checked',
    {
      authenticated: 'checked',
      allow: { hosts: ['10.0.0.0/8'], domains: ['partner.test'] },
      deny: { domains: ['evil.test'] },
    },
    `
                          outside inside gateway user insider
    x@far.test            554     250    554     554  250
    x@partner.test        250     250    250     250  250
    x@evil.test           554     554    554     554  554
    bob%far.test@partner.test 550/5.7.1 250 550/5.7.1 550/5.7.1 250
    alice@example.com     250     250    250     250  250`,
  ),

  scenario(
    'R6 an internal host is not asked for more, an excluded one not whether it is a user',
    {
      scope: 'external',
      internal: { hosts: ['10.0.0.0/8'] },
      exclude: ['192.0.2.25'],
      authenticated: 'checked',
      deny: { hosts: ['*', '10.1.2.3', '192.0.2.25'] },
    },
    `
                          outside nameless inside excluded gateway user insider
    x@far.test            554     554      250    250      554     554  250`,
  ),

  scenario(
    'R6 a gateway is inside only where its address alone is named',
    { allow: { hosts: ['10.0.0.0/8', '10.0.0.1'] } },
    `
                          outside inside gateway
    x@far.test            554     250    250`,
  ),
  scenario(
    'R6 a gateway that is named, and denied with its network',
    { allow: { hosts: ['10.0.0.1'] }, deny: { hosts: ['10.0.0.0/24'] } },
    `
                          outside inside gateway
    x@far.test            554     554    554`,
  ),
  scenario(
    'R6 a gateway that is internal by its address',
    { scope: 'external', internal: { hosts: ['10.0.0.1'] } },
    `
                          outside inside gateway
    x@far.test            554     554    250`,
  ),
  scenario(
    'R6 a gateway that is excluded by its address',
    { exclude: ['10.0.0.1'] },
    `
                          outside inside gateway
    x@far.test            554     554    250`,
  ),

  scenario(
    'R7 each recipient gets its own reply',
    { allow: { domains: ['partner.test'] } },
    `
                          outside   user
    x@far.test            554/5.7.1 250
    x@partner.test        250       250
    y@far.test            554/5.7.1 250
    alice@example.com     250       250
    nobody@example.com    550/5.1.1 550/5.1.1`,
  ),

  scenario(
    'R8 tricks in the local part',
    { allow: { hosts: ['10.0.0.0/8'], domains: ['partner.test'] }, exclude: ['192.0.2.25'] },
    `
                                   outside   nameless  staff     gateway   inside    excluded  user
    bob%far.test@partner.test      550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 250       250       250
    far.test!bob@partner.test      550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 250       250       250
    "bob@far.test"@partner.test    550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 250       250       250
    "bob%far.test"@partner.test    550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 250       250       250
    /c=de/s=x@partner.test         550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 250       250       250
    alice%far.test@example.com     550/5.1.1 550/5.1.1 550/5.1.1 550/5.1.1 550/5.1.1 550/5.1.1 550/5.1.1
    alice+x%far.test@example.com   550/5.7.1 550/5.7.1 550/5.7.1 550/5.7.1 250       250       250
    bob%partner.test@far.test      554/5.7.1 554/5.7.1 554/5.7.1 554/5.7.1 250       250       250`,
  ),
];

/** The session of a client, before MAIL. */
export function sessionOf({ address, name, gateway, user }: Client): SessionFacts {
  return {
    session: 'S1',
    listener: 'mx',
    kind: 'relay',
    client: { address, name: name ?? null, helo: 'client.test' },
    ...(name === undefined && { nameFailed: true }),
    ...(gateway && { gateway }),
    ...(user !== undefined && { user }),
    scope: 'external',
  };
}
