import { z } from 'zod';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { reply } from '#shared/mail/reply.ts';
import { printable } from '#shared/text.ts';
import type { FilterVerdict, HeaderChange } from './filter.ts';
import { checkChanges } from './header-changes.ts';

/**
 * The answer of rspamd to `/checkv2` as a verdict. Its actions, from harmless to worst:
 *
 * - `no action`, `greylist`: the message passes. Where its greylisting module is set up, rspamd says `soft reject` for a
 *   message that is to wait; `greylist` alone has no memory behind it, and mail would wait for ever
 * - `add header`, `quarantine`: junk
 * - `rewrite subject`: junk, with the subject that rspamd gives; where no field can hold that, which its sender wrote, junk
 * - `soft reject`: 451, `reject`: 550, with the words that rspamd has for the client
 * - `discard`: accepted and thrown away
 *
 * An action that the administrator of rspamd made up passes. In each case that passes, the fields are added and removed that
 * its modules ask for.
 */

const LONGEST_TEXT = 300;

const added = z.union([z.string(), z.number().transform(String), z.looseObject({ value: z.coerce.string() })]);
const listOf = <T extends z.ZodType>(one: T) => z.union([one.transform((value) => [value]), z.array(one).max(200)]);

const Answer = z.looseObject({
  action: z.string().max(100),
  score: z.number().optional(),
  subject: z.string().optional(),
  messages: z.looseObject({ smtp_message: z.string().optional() }).optional().catch(undefined),
  'dkim-signature': listOf(z.string()).optional(),
  milter: z
    .looseObject({
      add_headers: z.record(z.string(), listOf(added)).optional(),
      remove_headers: z.record(z.string(), listOf(z.number().int())).optional(),
    })
    .optional(),
});
type Answer = z.output<typeof Answer>;

/** Throws `filter-failed`. */
export function rspamdVerdict(status: number, text: string): FilterVerdict {
  if (status !== 200) throw new SealpostError('filter-failed', `it answers with HTTP status ${status}${errorIn(text)}`);
  const parsed = Answer.safeParse(json(text));
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0] ?? { path: [], message: '' };
    throw new SealpostError(
      'filter-failed',
      `its answer is not one of rspamd: ${printable(`${path.join('.')} ${message}`.trim())}`,
    );
  }
  const answer = parsed.data;
  const { action, score } = answer;
  const said = score === undefined ? action : `${action}, score ${score.toFixed(2)}`;
  switch (action) {
    case 'reject':
      return { action: 'reject', reply: reply(550, '5.7.1', words(answer, 'Message is rejected as spam')), said };
    case 'soft reject':
      return {
        action: 'defer',
        reply: reply(451, '4.7.1', words(answer, 'Message is deferred, please try again later')),
        said,
      };
    case 'discard':
      return { action: 'discard', said };
    default: {
      const junk = action === 'add header' || action === 'rewrite subject' || action === 'quarantine';
      return { action: 'accept', junk, changes: changesOf(answer), said };
    }
  }
}

/** What rspamd has for the client to read, as one line of ASCII. */
function words({ messages }: Answer, otherwise: string): string {
  const text = (messages?.smtp_message ?? '')
    .slice(0, LONGEST_TEXT)
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim();
  return text === '' ? otherwise : text;
}

function changesOf({ action, subject, milter, 'dkim-signature': signatures = [] }: Answer): HeaderChange[] {
  const removed = Object.entries(milter?.remove_headers ?? {}).flatMap(([name, places]) =>
    places.map((place): HeaderChange => ({ kind: 'remove', name, occurrence: place === 0 ? 'all' : place })),
  );
  const fields = Object.entries(milter?.add_headers ?? {}).flatMap(([name, values]) =>
    values.map(
      (value): HeaderChange => ({ kind: 'add', name, value: typeof value === 'string' ? value : value.value }),
    ),
  );
  const signed = signatures.map((value): HeaderChange => ({ kind: 'add', name: 'DKIM-Signature', value }));
  const rewritten: HeaderChange[] =
    action === 'rewrite subject' && subject !== undefined
      ? [{ kind: 'replace', name: 'Subject', occurrence: 1, value: subject }]
      : [];
  const subjects = rewritten.filter(isPossible);
  return [...removed, ...subjects, ...fields, ...signed];
}

function isPossible(change: HeaderChange): boolean {
  try {
    checkChanges([change]);
    return true;
  } catch (error) {
    if (errorCode(error) === 'filter-failed') return false;
    throw error;
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The reason that rspamd gives for a status other than 200. */
function errorIn(text: string): string {
  const { data } = z.looseObject({ error: z.string() }).safeParse(json(text));
  return data === undefined ? '' : `: ${printable(data.error)}`;
}
