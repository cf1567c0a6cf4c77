import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { type Caller, type CommonOptions, openCaller, print } from '../context.ts';

/**
 * `sealpost cluster forget <node>`: has every process forget a node that was taken out for good; with `--delete-copies`
 * routers delete the void copies that they hold of its mail, too. Its TLSA records stay no longer.
 */
export async function forgetNode(node: string, options: CommonOptions & { deleteCopies?: boolean }): Promise<void> {
  await using caller = await openCaller(options);
  const member = caller.client(memberContract);
  const { members } = await member['member-list']({});
  const own = members.filter((m) => m.node === node);
  if (own.some(({ state }) => state !== 'gone')) {
    const text = `node ${node} is up: "sealpost cluster drain ${node}" takes it out`;
    throw new SealpostError('still-up', text);
  }
  const asked = members.filter(({ state }) => state !== 'gone');
  const copies = options.deleteCopies === true ? await deleteCopies(caller, node, asked) : undefined;
  const answers = await Promise.allSettled(
    asked.map(({ process }) => member['member-forget']({ node }, { node: process })),
  );
  const forgotten = answers.some((answer) => answer.status === 'fulfilled' && answer.value.count > 0);
  const records = await forgetRecords(caller, node);
  if (own.length === 0 && !forgotten && !copies && records.count === 0) {
    throw new SealpostError('not-found', `no node ${node} is known: "sealpost cluster status" lists them`);
  }
  const silent = asked.flatMap(({ node: name }, i) => {
    const answer = answers[i];
    return answer?.status === 'rejected' ? [`${name}: ${errorText(answer.reason)}`] : [];
  });
  if (silent.length > 0) {
    throw new SealpostError(
      'not-forgotten',
      `not all processes have forgotten ${node}, try again: ${silent.join('; ')}`,
    );
  }
  const { count, trouble } = records;
  const due = count > 0 ? `; ${count} TLSA records stay for it no longer: run "sealpost tls publish"` : '';
  const unknown = trouble === undefined ? '' : `; whether TLSA records stay for it cannot be told (${trouble})`;
  const deleted = copies === undefined ? '' : `; ${copies} void copies of its mail were deleted`;
  print(
    options,
    { node, forgotten: true, tlsRecords: count, ...(copies !== undefined && { copies }) },
    () => `${node} is forgotten: it is known again as soon as it starts${deleted}${due}${unknown}`,
  );
}

/** Some clusters have no credential-store, and those of an earlier version keep no such records. */
async function forgetRecords(caller: Caller, node: string): Promise<{ count: number; trouble?: string }> {
  try {
    return await caller.client(credentialStoreContract)['tls-record-forget']({ node });
  } catch (error) {
    return { count: 0, trouble: errorText(error) };
  }
}

/** Rejects when a router cannot do it: the command can be run again. */
async function deleteCopies(caller: Caller, node: string, members: readonly Member[]): Promise<number> {
  const router = caller.client(routerContract);
  let copies = 0;
  for (const { process, services } of members) {
    if (services.includes('router')) copies += (await router['copy-forget']({ node }, { node: process })).count;
  }
  return copies;
}
