/** As much of Markdown as the documents use: fenced blocks, code spans, headings, links. Lines count from 1. */

export type Block = { language: string; info: string; text: string; line: number };
export type Span = { text: string; line: number };
export type Link = { target: string; line: number };
export type Page = { blocks: Block[]; spans: Span[]; links: Link[]; anchors: Set<string>; lines: number };

export function parsePage(text: string): Page {
  const { blocks, rest } = takeBlocks(text.split('\n'));
  const prose = rest.join('\n');
  const lineOf = (index: number): number => prose.slice(0, index).split('\n').length;
  const spans = [...prose.matchAll(/(`+)([^`]+)\1(?!`)/g)].map(({ 2: code = '', index }) => ({
    text: code.replace(/\s+/g, ' ').replaceAll('\\|', '|').trim(),
    line: lineOf(index),
  }));
  // A code span has no links, whatever it looks like.
  const plain = prose.replace(/(`+)[^`]+\1/g, (span) => span.replace(/[^\n]/g, '~'));
  const links = [...plain.matchAll(/\]\(([^)\s]+)\)/g)].map(({ 1: target = '', index }) => ({
    target,
    line: lineOf(index),
  }));
  const lines = text.replace(/\n$/, '').split('\n').length;
  return { blocks, spans, links, anchors: anchorsOf(rest), lines };
}

/** A part of a page: from the heading of this text to the next one that is no deeper. */
export function sectionOf(text: string, heading: string): string {
  const lines = text.split('\n');
  const begin = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ +/, '') === heading);
  const depth = /^#+/.exec(lines[begin] ?? '')?.[0].length;
  if (depth === undefined) throw new Error(`there is no heading "${heading}"`);
  let fenced = false;
  const length = lines.slice(begin + 1).findIndex((line) => {
    if (/^ *```/.test(line)) fenced = !fenced;
    return !fenced && new RegExp(`^#{1,${depth}} `).test(line);
  });
  return lines.slice(begin, length < 0 ? undefined : begin + 1 + length).join('\n');
}

/** The fenced blocks without the indentation of their fence; `rest` has an empty line for each of theirs. */
function takeBlocks(lines: readonly string[]): { blocks: Block[]; rest: string[] } {
  const blocks: Block[] = [];
  let open: { block: Block; indent: number } | undefined;
  const rest = lines.map((line, n) => {
    const fence = /^( *)```(\S*) *(.*)$/.exec(line);
    if (open !== undefined) {
      if (fence !== null) open = undefined;
      else open.block.text += `${line.slice(open.indent)}\n`;
      return '';
    }
    if (fence === null) return line;
    const [, indent = '', language = '', info = ''] = fence;
    open = { block: { language, info: info.trim(), text: '', line: n + 2 }, indent: indent.length };
    blocks.push(open.block);
    return '';
  });
  return { blocks, rest };
}

/** As GitHub names headings: lower case, spaces as hyphens, punctuation left out, a number after one that is taken. */
function anchorsOf(lines: readonly string[]): Set<string> {
  const anchors = new Set<string>();
  for (const line of lines) {
    const title = /^#{1,6} +(.*)$/.exec(line)?.[1];
    if (title === undefined) continue;
    const text = title.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const name = text.replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
    let anchor = name;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${name}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}
