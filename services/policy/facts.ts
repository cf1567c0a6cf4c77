import type { Config } from '#cluster/config/schema/schema.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import type { MessageTls } from '#shared/mail/message-tls.ts';
import type { ClientName } from './connect/reverse-dns.ts';
import type { SessionFacts } from './contract.ts';
import type { Account } from './directory/account.ts';
import type { AnyDirectory, BlockedUser } from './directory/directory.ts';
import type { ListsFound } from './dns/dns-lists.ts';
import type { DomainState } from './dns/sender-domain.ts';
import type { Exempt } from './gathering/exemptions.ts';
import type { Attempt } from './greylist/greylist.ts';
import type { ForcedTls } from './message/forced-tls.ts';
import type { IncomingRules } from './message/incoming/incoming-rules.ts';
import type { HostList } from './relay/host-list.ts';
import type { RelayRules } from './relay/relay-rules.ts';
import type { Rewriting } from './rewrite/rewriting.ts';
import type { Srs } from './rewrite/srs.ts';
import type { HeloFault } from './sender/helo-faults.ts';
import type { Refused, Step } from './verdict.ts';

/**
 * What is known when the checks of a phase run. What takes time (DNS, a password hash) was done before (`gathering/`), so
 * that a check only looks at values.
 */

type SenderDomain =
  | Exclude<DomainState, { kind: 'trouble' }>
  | (Extract<DomainState, { kind: 'trouble' }> & { onTrouble: 'defer' | 'accept' });

/** Whom the bounces of a list go to: the address, and the first of those that it leads to. */
export type ListOwner = { address: string; reportTo: string };

export type PolicyFacts = {
  connect: {
    address: string;
    gateway: boolean | undefined;
    name: ClientName;
    rules: RelayRules;
    /** Other connections of the client, and how many it may have; undefined: `checks.connections-per-client` is off. */
    connections?: Exempt | { open: number; most: number } | undefined;
  };
  authenticate: {
    /** The user as the client spelled it, and the account that has the name. */
    user: string;
    /** Whom the client wants to be, where that is another name than `user`. */
    actAs: string | undefined;
    account: Account | undefined;
    /** That of the user; undefined: there is none, or the directory could not be asked. */
    block: BlockedUser | undefined;
    /** unchecked: the directory could not be asked, or too many passwords are being checked; locked: too many failures. */
    password: 'right' | 'wrong' | 'unchecked' | 'locked';
    /** An access token came in place of the password: what is said of the password holds for it. */
    byToken?: boolean;
    /** Why it is wrong or unchecked, for the log. */
    reason?: string | undefined;
    directory: AnyDirectory;
  };
  sender: {
    session: SessionFacts;
    /** '' is the null reverse-path. */
    reversePath: string;
    /** Bytes that the client announced. */
    size: number | undefined;
    limits: Pick<Config['limits'], 'message-size'>;
    /** `authentication.anonymous`. */
    anonymous: HostList;
    rules: RelayRules;
    rewriting: Rewriting;
    directory: AnyDirectory;
    /** DNS did not give the client's name, and a name might exempt it from the checks that follow. */
    nameMatters?: boolean | undefined;
    /** What `checks.helo` finds in the name that the client gave; undefined: it is off. */
    helo?: Exempt | { fault: HeloFault | undefined } | undefined;
    /** What DNS knows of the domain of the reverse-path; undefined: `checks.sender-domain` is off. */
    senderDomain?: Exempt | SenderDomain | undefined;
  };
  recipient: {
    session: SessionFacts;
    /** '' is the null reverse-path. */
    reversePath: string;
    /** As RCPT named it. */
    recipient: EnvelopeRecipient;
    /** Its canonical address, and whether that is of a domain of ours. */
    named: string;
    namedOurs: boolean;
    /** What rewriting made of it (rewrite/rewriting.ts), mostly the same, and the two parts of that. */
    address: string;
    domain: string;
    local: string;
    /** The domain is local, or it is `postmaster` alone, which reaches somebody on every server (RFC 5321 §4.5.1). */
    ours: boolean;
    /** The directory could not be asked what it becomes. */
    mapsUnread?: boolean;
    /** It is that of a group, and what is done with mail to groups. */
    group?: { mode: Config['directory']['mail-to-groups']; owner?: ListOwner | undefined } | undefined;
    /** Where mail to the reverse-path ends, if that may have been rewritten. */
    senderMailbox?: string | undefined;
    /** undefined: it is not configured, or its key cannot be read. */
    srs?: Srs | undefined;
    now: Date;
    rules: RelayRules;
    rewriting: Rewriting;
    incoming: IncomingRules;
    directory: AnyDirectory;
    /** Why the directory cannot be read. */
    unread?: string | undefined;
    /** As at MAIL. */
    nameMatters?: boolean | undefined;
    /** What DNS lists say of the client; undefined: `checks.dns-lists` has none. */
    dnsLists?: Exempt | ListsFound | undefined;
    /** What the greylist knows of this attempt; undefined: `checks.greylist` is off. */
    greylist?: Exempt | Attempt | undefined;
  };
  message: {
    session: SessionFacts;
    queueId: string;
    /** '' is the null reverse-path. */
    reversePath: string;
    /** Addresses as RCPT named them. */
    recipients: readonly string[];
    smtpUtf8: boolean;
    /** Bytes. */
    size: number;
    /** The fields of its header by lower-case name. */
    fields: ReadonlyMap<string, HeaderField[]>;
    /** All of it, as latin1, and its fields in order. */
    header: { text: string; fields: readonly HeaderField[] };
    rules: RelayRules;
    rewriting: Rewriting;
    incoming: IncomingRules;
    forcedTls: ForcedTls;
    directory: AnyDirectory;
    hostname: string;
    /** What SPF, DKIM, ARC and DMARC found; undefined for mail that is not checked. */
    authenticity?: Authenticity | undefined;
    /** The name of this site in Authentication-Results. */
    authservId: string;
    limits: Pick<Config['limits'], 'message-size' | 'header-size' | 'hops' | 'for-recipients'>;
    now: Date;
  };
};

/** What an accepting verdict of a phase says. `| undefined`: nothing is accepted unless a check says what. */
export type Accepted = {
  connect: { name: string | null; nameFailed: boolean; scope: 'internal' | 'external' };
  authenticate: { user: string } | undefined;
  sender: { reversePath?: string; scope?: 'internal' };
  recipient: { recipients: EnvelopeRecipient[] } | undefined;
  message: {
    prepend: string[];
    originating: boolean;
    junk: boolean;
    header?: string;
    reversePath?: string;
    authenticity?: Authenticity;
    tls?: MessageTls;
  };
};

export type Phase = keyof PolicyFacts;

/** A pure function. `accepted` is what the phase would accept with after the checks before this one. */
export type PolicyCheck<P extends Phase> = (facts: PolicyFacts[P], accepted: Accepted[P]) => Step<Accepted[P]>;

export type PolicyVerdict<P extends Phase> = ({ action: 'accept'; why: string[] } & NonNullable<Accepted[P]>) | Refused;
