import type { DnsView } from '#shared/keys/key-status.ts';

/**
 * Whether DNS has what is expected, by what all nodes saw of it. Each node must find it right, except that a name server
 * that one node cannot reach counts where another node reached it and it is right: what keeps it from the one node is
 * not in DNS. What any server answers to any node counts.
 */

export type NodeView = { node: string; view: DnsView };
type ServerView = DnsView['servers'][number];

/** The first view that does not agree; `right`: the verdicts on a server that are as expected. */
export function disagreeing(views: readonly NodeView[], right: readonly DnsView['verdict'][]): NodeView | undefined {
  const isRight = (server: ServerView): boolean => (right as readonly string[]).includes(server.verdict);
  const reached = new Set(views.flatMap(({ view }) => view.servers.filter(isRight).flatMap((s) => s.host ?? [])));
  const isElsewhere = ({ verdict, host }: ServerView): boolean =>
    verdict === 'unreachable' && host !== undefined && reached.has(host);
  return views.find(({ view: { verdict, servers } }) => {
    const agrees = servers.length > 0 && servers.every((server) => isRight(server) || isElsewhere(server));
    return verdict !== 'ok' && !agrees;
  });
}
