/**
 * The names in values of main.cf (postconf(5)): `$name`, `${name}`, `$(name)`, `${name?text}` where name has a value,
 * `${name:text}` where it has none, `${name?{text}:{other}}`, `${{a} == {b} ? {text} : {other}}`, and `$$` for a dollar.
 * What comes out is expanded again. Values can refer to one another in a circle, or to so many that no end is in sight: both
 * stop somewhere, and the rest stays as it is written.
 */

export type Names = { raw(name: string): string | undefined };

const DEEPEST = 20;
const MOST_STEPS = 10_000;
const LONGEST = 1_000_000;

/** `depth`: of values within values; `steps`: of the whole expansion. */
type Course = { names: Names; depth: number; steps: { left: number } };

export function expand(text: string, names: Names): string {
  return expanded(text, { names, depth: 0, steps: { left: MOST_STEPS } });
}

function expanded(text: string, course: Course): string {
  if (course.depth > DEEPEST || course.steps.left-- <= 0 || !text.includes('$')) return text;
  const { names } = course;
  const inner: Course = { ...course, depth: course.depth + 1 };
  let out = '';
  for (let i = 0; i < text.length && out.length < LONGEST; ) {
    const dollar = text.indexOf('$', i);
    if (dollar < 0) return out + text.slice(i);
    out += text.slice(i, dollar);
    const next = text[dollar + 1];
    if (next === '$') {
      out += '$';
      i = dollar + 2;
    } else if (next === '{' || next === '(') {
      const end = closing(text, dollar + 1);
      if (end < 0) return out + text.slice(dollar);
      out += expanded(braced(text.slice(dollar + 2, end), inner), inner);
      i = end + 1;
    } else {
      const name = /^\w+/.exec(text.slice(dollar + 1, dollar + 101))?.[0] ?? '';
      out += name === '' ? '$' : expanded(names.raw(name) ?? '', inner);
      i = dollar + 1 + name.length;
    }
  }
  return out;
}

/** Names that a value refers to. */
export function namesIn(text: string): string[] {
  return [...text.matchAll(/\$(?:[{(]\s*)?(\w+)/g)].map(([, name = '']) => name);
}

/** The end of the bracket that opens at `start`; -1 where it is not closed. */
function closing(text: string, start: number): number {
  const open = text[start];
  const close = open === '{' ? '}' : ')';
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === open) depth++;
    else if (text[i] === close && --depth === 0) return i;
  }
  return -1;
}

/** The text that stands for `${content}`, to be expanded. */
function braced(content: string, course: Course): string {
  if (content.trimStart().startsWith('{')) return comparison(content.trimStart(), course);
  const [, name = '', sign, rest = ''] = /^\s*(\w+)\s*(?:([?:])(.*))?$/s.exec(content) ?? [];
  const value = course.names.raw(name) ?? '';
  if (sign === undefined) return value;
  const has = expanded(value, course) !== '';
  if (sign === ':') return has ? '' : branch(rest).text;
  const then = branch(rest);
  return has ? then.text : branch(then.rest.replace(/^\s*:/, '')).text;
}

/** `{a} == {b} ? {text} : {other}`. */
function comparison(content: string, course: Course): string {
  const left = branch(content);
  const [, operator = '==', after = ''] = /^\s*(==|!=|<=|>=|<|>)(.*)$/s.exec(left.rest) ?? [];
  const right = branch(after);
  const [, rest = ''] = /^\s*\?(.*)$/s.exec(right.rest) ?? [];
  const then = branch(rest);
  const sides = [left.text, right.text].map((side) => expanded(side, course)) as [string, string];
  if (compare(...sides, operator)) return then.text;
  return branch(then.rest.replace(/^\s*:/, '')).text;
}

/** Numbers as numbers, everything else as text. */
function compare(a: string, b: string, operator: string): boolean {
  const numeric = /^\d+$/.test(a) && /^\d+$/.test(b);
  const order = numeric ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0;
  switch (operator) {
    case '==':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    default:
      return order >= 0;
  }
}

/** What a text begins with: `{text}`, without its braces, or all of it. */
function branch(text: string): { text: string; rest: string } {
  const trimmed = text.trimStart();
  if (!trimmed.startsWith('{')) return { text, rest: '' };
  const end = closing(trimmed, 0);
  return end < 0 ? { text, rest: '' } : { text: trimmed.slice(1, end).trim(), rest: trimmed.slice(end + 1) };
}
