import type { z } from 'zod';
import type { MissingSource } from '#cluster/config/rules/routes.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { Member } from '#cluster/members/member-contract.ts';
import type { credentialStoreContract } from '#services/credential-store/contract.ts';
import type { listenerContract } from '#services/listener/contract.ts';
import type { Directive } from '#shared/directive.ts';
import type { NekStatus } from '#shared/keys/holders.ts';
import type { DnsView, KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import type { LostTls } from '#shared/mail/tls.ts';
import type { QueueGroup } from '#shared/queue/summary.ts';
import type { DamagedMail, StoreDamage } from '#shared/store-damage.ts';
import type { WebhookStatus } from '#shared/webhooks/status.ts';
import type { CertificateFacts } from '../certificates/facts.ts';
import type { UnsignedMail } from './sent-mail.ts';

/** What `sealpost doctor` knows, and what it reports. A check is a pure function from facts to findings. */

export type Severity = 'error' | 'warning' | 'note';

export type Finding = {
  severity: Severity;
  /** The key, domain, NEK or node that it is about. */
  about: string;
  /** What is wrong: a clause without its full stop. */
  text: string;
  /** What to do: a clause without its full stop. */
  help: string;
};

/** Whether somebody must see to it: a note alone says what may stay as it is. The exit code of reports goes by it. */
export const needsAttention = (findings: readonly Pick<Finding, 'severity'>[]): boolean =>
  findings.some(({ severity }) => severity !== 'note');

export type DamagedStore = { node: string; store: 'queue' | 'credentials'; damage: StoreDamage };

/** A message that a router of this node has set aside, because it is damaged. */
export type NodeMail = { node: string; mail: DamagedMail };

/** Void copies of the mail of `owner`, a node that is silent, on the disk of another one. */
export type VoidCopies = { node: string; owner: string; copies: number };

type ListenerStatus = z.output<(typeof listenerContract.operations)['status-show']['reply']>;

/** What a listener of a node says of who may come in. */
export type Exposure = { node: string } & Pick<ListenerStatus, 'gateways' | 'front' | 'openRelay'>;

/** A console, or why it shows nothing. `until`: the end of its certificate in ms since 1970. */
export type Console = { node: string; origin?: string; until?: number; error?: string };

/** A server of `directory.ldap`; `error`: why `node` cannot ask it. */
export type LdapServer = { node: string; url: string; error?: string | undefined };

/** A mail filter as a listener of `node` reaches it. */
export type MailFilter = { node: string } & NonNullable<ListenerStatus['filters']>[number];

/** A service that sends to webhooks, of the process with this id. */
export type Sender = { node: string; process: string; service: 'router' | 'credential-store' };
/** How the webhooks are doing, as it says. */
export type SenderStatus = Sender & { webhooks: WebhookStatus[] };

/** `held`: by what holds it; `copies`: those for archives that have been tried for long, by the archive. */
export type WaitingMail = { held: QueueGroup[]; copies: QueueGroup[] };

export type StoreStatus = z.output<(typeof credentialStoreContract.operations)['status-show']['reply']>;

/** A key, and what every live node saw of it just now. */
export type CheckedKey = {
  key: KeyStatus;
  views: DnsView[];
  unproven: { node: string; reason: string }[];
  /** Why it could not be looked at. */
  trouble?: string;
};

export type Facts = {
  /** ms since 1970 */
  now: number;
  /** The entries of `domains`, as configured where the command runs. */
  domains: Config['domains'];
  /** Addresses of routes that the machine does not have where the command runs. */
  missingSources?: MissingSource[];
  /** `credentials.nek-age` in ms. */
  nekAge: number;
  status: StoreStatus;
  /** What every live credential-store that answers says of itself. */
  stores: StoreStatus[];
  /** The keys that are looked at. */
  keys: CheckedKey[];
  /** Every key of the store, also of other domains: a parent's keys sign for its subdomains. */
  stored: KeyStatus[];
  neks: NekStatus[];
  rotations: RotationStatus[];
  unsigned: UnsignedMail[];
  /** What operators have suspended and redirected. */
  directives?: Directive[];
  /** Mail that waits, of every router that answers. */
  waiting?: WaitingMail;
  /** Destinations that had TLS before, as each router says. */
  lostTls?: LostTls[];
  /** Stores that were damaged, of every process that answers. */
  damage: DamagedStore[];
  /** Mail that they have set aside. */
  damagedMail?: NodeMail[];
  /** Void copies that they hold. */
  voidCopies?: VoidCopies[];
  /** The processes of the cluster, as the one that answers knows them. */
  members: Member[];
  exposures: Exposure[];
  consoles?: Console[];
  /** The LDAP servers as each policy service reaches them. */
  ldap?: LdapServer[];
  /** The mail filters as each listener reaches them. */
  filters?: MailFilter[];
  /** The certificates of the cluster. */
  certificates?: CertificateFacts;
  /** The webhooks, of every service that sends to them and answers. */
  webhooks?: SenderStatus[];
};

export type Check = (facts: Facts) => Finding[];

/** `s1 of example.com` */
export const keyName = ({ key }: CheckedKey): string => `${key.selector} of ${key.domain}`;
/** `example.com s1`, as commands want it. */
export const keyArguments = ({ key }: CheckedKey): string => `${key.domain} ${key.selector}`;

/** `a`, `a and b`, `a, b and c`. */
export function listText(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? 'none') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

/** What checks find, each with the name of its check, in the order of the checks. */
export function runChecks<F>(
  checks: Readonly<Record<string, (facts: F) => Finding[]>>,
  facts: F,
): (Finding & { check: string })[] {
  return Object.entries(checks).flatMap(([check, find]) => find(facts).map((finding) => ({ check, ...finding })));
}

const ORDER: readonly Severity[] = ['error', 'warning', 'note'];

export function worstFirst<T extends Finding>(findings: readonly T[]): T[] {
  return findings.toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
}
