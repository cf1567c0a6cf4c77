import { type Answer, already, none, toDo } from '../plan.ts';
import { answerTo as pluginAnswer } from './plugins.ts';
import type { State } from './state.ts';

/** Files that no other part of the import has read: what each is, so that none is passed over in silence. */
export async function rest({ folder, plugins, tell }: State): Promise<void> {
  for (const name of folder.unread()) tell(name, name, answerTo(name, plugins));
}

function answerTo(name: string, plugins: readonly string[]): Answer {
  const family = FAMILIES.find(([pattern]) => pattern.test(name))?.[1];
  if (family !== undefined) return family;
  const stem = name.replace(/\.(?:ini|json|yaml|timeout)$/, '');
  const plugin = plugins.find(
    (one) => one === stem || one.endsWith(`/${stem}`) || one.endsWith(`/${stem.replace(/^auth_/, '')}`),
  );
  if (plugin === undefined) return none('no plugin that runs is known to read it');
  const answer = pluginAnswer(plugin);
  return answer.verdict === 'taken' ? toDo(`of the plugin ${plugin}: not read`) : answer;
}

const FAMILIES: readonly (readonly [RegExp, Answer])[] = [
  [/\.pem$|^dkim\.private\.key$|\.crt$|\.key$/, already('read where other files name it')],
  [/^outbound\.bounce_message/, none('notices are DSNs (RFC 3464) in the words of dsn.language')],
  [/^(?:http|watch|status)\./, none('no web page: "sealpost status", "sealpost top", and metrics for Prometheus')],
  [/^(?:log|syslog)/, none('the log is JSON lines; log.level says which')],
  [/\.timeout$/, none('every wait has its own option')],
  [
    /^(?:top|two|three|extra)-?level-tlds$|^public-suffix-list$|^extra-tlds$/,
    already('the Public Suffix List comes along'),
  ],
  [/^redis\.ini$|^results\.ini$|^plugins\.|^internalcmd_key$/, none('about Haraka itself')],
  [
    /^xclient\.hosts$/,
    none('no client says who it is for another; proxies do, by the PROXY protocol (listeners[].proxy)'),
  ],
  [/access|blocklist|blacklist|whitelist/, toDo('relay.deny.hosts for clients, rules for senders and recipients')],
];
