/**
 * Text in lines for people who read mail without a program that wraps it. Between characters of Chinese and Japanese
 * a line may end anywhere but in front of closing punctuation and small kana, and behind an opening bracket (JIS X 4051);
 * elsewhere at a space. A word that is longer than a line stays whole, so that it can be copied.
 */

const WIDE = '\\u2e80-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff00-\\uff60';
const OPENING = '（「『';
const CLOSING = '、。，．：；？！）」』ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ';
const UNITS = new RegExp(`( *)([${OPENING}]*(?:[${WIDE}]|[^ ${WIDE}]+)[${CLOSING}]*)`, 'g');
const WIDE_CHARACTER = new RegExp(`[${WIDE}]`, 'g');

/** `width`: in columns, of which a wide character takes two. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const [, space = '', unit = ''] of text.matchAll(UNITS)) {
    if (line !== '' && columns(line + space + unit) > width) {
      lines.push(line);
      line = unit;
    } else line += line === '' ? unit : space + unit;
  }
  return line === '' ? lines : [...lines, line];
}

function columns(text: string): number {
  return text.length + (text.match(WIDE_CHARACTER)?.length ?? 0);
}
