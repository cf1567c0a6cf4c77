import { formatReply, type Reply } from '../mail/reply.ts';
import { cut } from '../text.ts';

/**
 * What replies that say the same have in common: addresses, numbers and ids in the text become `…` or `#`, so that the same
 * refusal of many messages is one. The codes stay. Host names stay but for the digits in them.
 */
export function replyPattern(reply: Reply): string {
  const text = cut(reply.text, READ)
    // A link says which rule it is before its parameters.
    .replace(/(https?:\/\/[^\s?]+)\?\S*/gi, '$1?…')
    .replace(/<?[^\s<>@,;:()"']+@[^\s<>@,;()"']+>?/g, '<…>')
    .replace(IP, '#')
    .replace(/[\w+/=-]*\d[\w+/=-]*/g, (word) => (isId(word) ? '#' : word.replace(/\d+/g, '#')))
    .replace(/\s+/g, ' ')
    .trim();
  return cut(formatReply({ ...reply, text }), LONGEST);
}

/** Characters of a reply that are looked at, and those of a pattern. */
const READ = 1000;
const LONGEST = 200;
/** IPv4 addresses, and what has the form of an IPv6 address and a digit. */
const IP = /\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<![\w:])(?=[\da-f:]*\d)[\da-f]{0,4}(?::[\da-f]{0,4}){2,7}(?![\w:])/gi;

/** A word of letters and digits that is longer than a name with a number in it. */
function isId(word: string): boolean {
  return word.length >= 8 && !/^[a-z-]+\d{1,3}$/i.test(word);
}
