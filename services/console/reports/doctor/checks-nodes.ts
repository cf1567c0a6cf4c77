import { type Directive, directiveText } from '#shared/directive.ts';
import type { NekStatus } from '#shared/keys/holders.ts';
import { formatDuration } from '#shared/units.ts';
import { MEMBER_FINDINGS } from '../cluster/members.ts';
import { damagedMailFindings, damageFindings, voidCopyFindings } from '../damage.ts';
import { endingOf } from '../mail/directives.ts';
import { consoleFindings } from './consoles.ts';
import { frontFindings, gatewayFindings, openRelayFindings } from './exposure.ts';
import { type Check, type Facts, type Finding, listText } from './finding.ts';
import { ldapFindings } from './ldap.ts';
import { filterFindings } from './mail-filters.ts';
import { heldCopyFindings, heldMailFindings, waitingCopyFindings } from './waiting-mail.ts';
import { droppedFindings, webhookFindings } from './webhooks.ts';

/** Whether the nodes have the same keys, the same time, and the NEKs that open the keys. */

const CLOCK_WARNING_MS = 2000;
const CLOCK_ERROR_MS = 30_000;

/** The key of a record, as `certificate!mx`, of a kind that this version does not know; those of domains come as their name. */
const UNKNOWN_KIND = /^(?!(?:certificate|published|acme-account|user|alias|group|map)!)[^!]+!/;

function directed(directive: Directive): Finding {
  const { kind, about, name, via } = directive;
  const isSuspended = kind === 'suspend';
  return {
    severity: 'warning',
    about: `${about} ${name}`,
    text: `its mail ${isSuspended ? 'is suspended' : `goes to ${via}`} on all nodes, ${directiveText(directive)}`,
    help: `${endingOf(directive)} ends that`,
  };
}

export const NODE_CHECKS: Record<string, Check> = {
  'bus-away': ({ status }) =>
    status.state === 'away'
      ? [
          {
            severity: 'error',
            about: `node ${status.node}`,
            text: `cannot reach the other nodes${because(status.problem)}: keys cannot be changed; signing goes on`,
            help: 'see that a majority of the NATS servers runs, with JetStream, and that this node reaches them',
          },
        ]
      : [],

  'directory-away': ({ status: { node, state, directory } }) =>
    directory?.state === 'away' && state !== 'away'
      ? [
          {
            severity: 'error',
            about: `node ${node}`,
            text: `does not follow the directory of the others${because(directory.problem)}: users and aliases cannot be changed on it; policy goes on with what it has`,
            help: 'see that JetStream has the stream sealpost-directory: "sealpost cluster streams" makes it where NATS has users',
          },
        ]
      : [],

  ...Object.fromEntries(
    Object.entries(MEMBER_FINDINGS).map(([name, find]): [string, Check] => [name, ({ members }) => find(members)]),
  ),
  'open-relay': ({ exposures }) => openRelayFindings(exposures),
  'hidden-clients': ({ exposures }) => frontFindings(exposures),
  'container-gateway': ({ exposures }) => gatewayFindings(exposures),
  console: ({ consoles = [], now }) => consoleFindings(consoles, now),
  'ldap-away': ({ ldap = [] }) => ldapFindings(ldap),
  suspended: ({ directives = [] }) => directives.filter(({ kind }) => kind === 'suspend').map(directed),
  redirected: ({ directives = [] }) => directives.filter(({ kind }) => kind === 'redirect').map(directed),
  'copies-held': ({ waiting, now }) => (waiting === undefined ? [] : heldCopyFindings(waiting, now)),
  'copies-waiting': ({ waiting, now }) => (waiting === undefined ? [] : waitingCopyFindings(waiting, now)),
  'mail-held': ({ waiting, now }) => (waiting === undefined ? [] : heldMailFindings(waiting, now)),
  'source-missing': ({ missingSources = [] }) =>
    missingSources.map(({ path, address }) => ({
      severity: 'error',
      about: path,
      text: `this machine does not have the address ${address}: mail on this route waits here until it has`,
      help: 'give the machine the address, or correct the route',
    })),
  'filter-away': ({ filters = [] }) => filterFindings(filters),
  'webhook-failing': ({ webhooks = [], now }) => webhookFindings(webhooks, now),
  'webhook-dropped': ({ webhooks = [], now }) => droppedFindings(webhooks, now),
  'node-behind': behind,
  'revisions-differ': revisions,
  'clocks-differ': ({ status }) => clockFindings(status.holders),

  'store-damaged': ({ damage }) => damageFindings(damage),
  'mail-damaged': ({ damagedMail = [] }) => damagedMailFindings(damagedMail),
  'copies-void': ({ voidCopies = [] }) => voidCopyFindings(voidCopies),

  'record-unreadable': ({ status }) =>
    (status.unreadable ?? []).map((record) => ({
      ...(UNKNOWN_KIND.test(record)
        ? {
            severity: 'warning' as const,
            text: `is a record of a newer Sealpost, of a kind that node ${status.node} does not know: it keeps it for the others`,
          }
        : {
            severity: 'error' as const,
            text: `was changed by a newer Sealpost in a way that node ${status.node} does not understand: it can neither follow nor change it`,
          }),
      about: record,
      help: 'update Sealpost on every node to the newest version among them',
    })),

  'no-signer': ({ status }) =>
    status.holders.some((h) => h.kind === 'signer')
      ? []
      : [
          {
            severity: 'error',
            about: 'the cluster',
            text: `node ${status.node} hears no signer: mail that must be signed waits, and no key can be proven`,
            help: 'start the signer: "sealpost start signer"; "sealpost status" shows what answers',
          },
        ],

  'nek-missing': ({ neks }) => missingNeks(neks),

  'nek-old': ({ neks, now, nekAge }) =>
    neks
      .filter((nek) => nek.current && now - nek.since > nekAge)
      .map(({ name, since }) => ({
        severity: 'warning',
        about: `NEK ${name}`,
        text: `wraps the keys for ${formatDuration(now - since)}, longer than credentials.nek-age (${formatDuration(nekAge)})`,
        help: 'make another on every node, "sealpost keymgmt create nek <name>", then "sealpost keymgmt rotate nek <name>"',
      })),

  'nek-not-current': ({ neks }) =>
    neks
      .filter((nek) => !nek.current && nek.keys > 0)
      .map(({ name, keys }) => ({
        severity: 'warning',
        about: `NEK ${name}`,
        text: `still wraps ${keys === 1 ? '1 key' : `${keys} keys`}, although another one is current`,
        help: `a node that has both NEKs wraps them again by itself; if it stays so, "sealpost keymgmt rotate nek ${currentName(neks)}" says why`,
      })),

  'nek-unused': ({ neks }) =>
    neks
      .filter((nek) => !nek.current && nek.keys === 0 && (nek.passwords ?? 0) === 0)
      .map(({ name }) => ({
        severity: 'note',
        about: `NEK ${name}`,
        text: 'wraps nothing any more',
        help: `"sealpost keymgmt delete nek ${name}" forgets it; keep a copy while backups of the data need it`,
      })),
};

const because = (reason: string | undefined): string => (reason === undefined ? '' : ` (${reason})`);
const currentName = (neks: Facts['neks']): string => neks.find((n) => n.current)?.name ?? '<name>';

/** Nodes that say they do not follow the others; the answering node also about itself. */
function behind({ status }: Facts): Finding[] {
  const help = 'it catches up by itself when it reaches the others; its log says what keeps it';
  const own: Finding[] =
    status.state === 'behind'
      ? [
          {
            severity: 'warning',
            about: `node ${status.node}`,
            text: `has yet to catch up with the others${because(status.problem)}`,
            help,
          },
        ]
      : [];
  const others = status.holders
    .filter((h) => h.behind !== undefined && !(h.node === status.node && status.state !== 'following'))
    .map((h): Finding => {
      const about = `node ${h.node}`;
      return { severity: 'warning', about, text: `its ${h.kind} does not follow the others: ${h.behind}`, help };
    });
  const policies = (status.policies ?? []).flatMap(({ node, behind }): Finding[] =>
    behind === undefined
      ? []
      : [
          {
            severity: 'warning',
            about: `node ${node}`,
            text: `its policy does not follow the directory: ${behind}`,
            help,
          },
        ],
  );
  return [...own, ...others, ...policies];
}

/** Nodes that have seen fewer changes than others, and do not say why. */
function revisions({ status: { holders } }: Facts): Finding[] {
  const newest = Math.max(0, ...holders.map((h) => h.revision));
  return holders
    .filter((h) => h.revision < newest && h.behind === undefined)
    .map((h) => ({
      severity: 'warning',
      about: `node ${h.node}`,
      text: `its ${h.kind} has revision ${h.revision} of the keys, and others have ${newest}`,
      help: 'see its log; after a restart it asks for all keys again',
    }));
}

/** Drivers act by the clock, and signatures carry a time. */
export function clockFindings(nodes: readonly { node: string; clock: number }[]): Finding[] {
  const byClock = nodes.toSorted((a, b) => a.clock - b.clock);
  const [slowest] = byClock;
  const fastest = byClock.at(-1);
  const apart = (fastest?.clock ?? 0) - (slowest?.clock ?? 0);
  if (slowest === undefined || fastest === undefined || apart <= CLOCK_WARNING_MS) return [];
  return [
    {
      severity: apart > CLOCK_ERROR_MS ? 'error' : 'warning',
      about: `nodes ${slowest.node} and ${fastest.node}`,
      text: `their clocks are ${formatDuration(apart)} apart; ${fastest.node} is ahead`,
      help: 'set them by NTP',
    },
  ];
}

/** NEKs that are needed and that a node lacks. */
export function missingNeks(neks: readonly NekStatus[]): Finding[] {
  return neks
    .filter((nek) => nek.lacking.length > 0 && (nek.current || nek.keys > 0 || (nek.passwords ?? 0) > 0))
    .map(({ name, keys, lacking }) => ({
      severity: 'error',
      about: `NEK ${name}`,
      text: `is missing in credentials.nek of ${listText(lacking)}: ${keys === 1 ? '1 key' : `${keys} keys`} cannot be used there`,
      help: 'copy its line to the NEK file there, from a node that has it or from your backup',
    }));
}
