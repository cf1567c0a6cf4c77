import { HarakaFolder } from '../../import/haraka/folder.ts';
import type { Choice, Plan } from '../plan.ts';
import { aliases } from './aliases.ts';
import { checks } from './checks.ts';
import { dkim } from './dkim.ts';
import { domains } from './domains.ts';
import { forwarding } from './forwarding.ts';
import { listeners } from './listeners.ts';
import { outbound } from './outbound.ts';
import { pluginNames, plugins } from './plugins.ts';
import { relaying } from './relaying.ts';
import { rest } from './rest.ts';
import { server } from './server.ts';
import { newState } from './state.ts';
import { tls } from './tls.ts';
import { users } from './users.ts';

/**
 * The folder `config` of a Haraka as a sealpost.yaml. What Haraka does is the list of its plugins, so a file counts only
 * where its plugin runs. Each part of the import answers the files that it knows; `plugins.ts` says of each plugin what
 * Sealpost has instead, `rest.ts` names the files that nothing has read.
 */
export async function planHaraka(given: string, choice: Choice): Promise<Plan> {
  const folder = await HarakaFolder.open(given);
  const state = newState(folder, await pluginNames(folder), choice);
  await plugins(state);
  await server(state);
  const secure = await tls(state);
  await users(state);
  await listeners(state, secure);
  await relaying(state);
  await domains(state);
  await forwarding(state, secure);
  await outbound(state);
  await aliases(state);
  await dkim(state);
  await checks(state);
  await rest(state);
  const { account, draft, files, openings, advice } = state;
  return { account, draft, files, openings, advice };
}
