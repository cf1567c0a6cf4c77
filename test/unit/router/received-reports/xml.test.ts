import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Unreadable } from '#services/router/received-reports/unreadable.ts';
import { XmlReader } from '#services/router/received-reports/xml.ts';

/** What is told of a text that comes in these pieces. */
function read(...pieces: string[]): string[] {
  const told: string[] = [];
  const reader = new XmlReader({ end: (path, text) => told.push(`${path}=${text}`) });
  for (const piece of pieces) reader.push(piece);
  reader.end();
  return told;
}

const EVERYTHING =
  '\ufeff<?xml version="1.0"?>\n<!-- <a> -- --><n:a xmlns:n="urn:x" t=\'>\'>1 &lt;&amp;&#65;&#x42;&nbsp;<b/>2' +
  '<b c="/>">x <![CDATA[<&amp;]]> y</b><!-- --></n:a >\n';
const TOLD = ['a/b=', 'a/b=x <&amp; y', 'a=1 <&AB&nbsp;2'];

test('elements are told by their local names, with their texts', () => {
  assert.deepEqual(read(EVERYTHING), TOLD);
});

test('it does not matter where the text is cut', () => {
  for (let at = 0; at <= EVERYTHING.length; at++)
    assert.deepEqual(read(EVERYTHING.slice(0, at), EVERYTHING.slice(at)), TOLD, `${at}`);
  assert.deepEqual(read(...EVERYTHING), TOLD, 'character by character');
});

describe('refused', () => {
  for (const [title, text, why] of [
    ['a bomb of entities', '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>', /document type/],
    ['an entity from elsewhere', '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', /document type/],
    ['a declaration inside', '<x><!ELEMENT y></x>', /document type/],
    ['too deep', '<a>'.repeat(1000), /too deep/],
    ['too many elements', `<a>${'<b/>'.repeat(600_001)}</a>`, /too many elements/],
    ['an endless tag', `<a ${'b="c" '.repeat(2000)}`, /too long/],
    ['an endless name', `<${'a'.repeat(100_000)}`, /too long/],
    ['an endless quotation', `<a b="${'c'.repeat(100_000)}`, /too long/],
    ['a wrong end', '<a><b></a></b>', /did not begin/],
    ['an end without a start', '</a>', /did not begin/],
    ['two roots', '<a/><a/>', /damaged/],
    ['no end', '<a>', /cut off/],
    ['a cut tag', '<a/><', /cut off/],
    ['a comment that does not end', '<a/><!-- ', /cut off/],
    ['nothing', '', /cut off/],
    ['text alone', 'Hello', /not XML/],
    ['text behind the root', '<a/>x', /not XML/],
    ['rubbish for a name', '<a><\u0000></a>', /damaged/],
    ['a tag in a tag', '<a <b></a>', /damaged/],
  ] as const) {
    test(title, () => {
      assert.throws(
        () => read(text),
        (error) => error instanceof Unreadable && why.test(error.message),
      );
    });
  }
});

test('of an endless text and an endless comment only the beginning is kept', () => {
  const told: string[] = [];
  const reader = new XmlReader({ end: (_, text) => told.push(text) });
  reader.push('<a><!--');
  for (let n = 0; n < 1000; n++) reader.push('x'.repeat(10_000));
  reader.push('-->');
  for (let n = 0; n < 1000; n++) reader.push('y'.repeat(10_000));
  reader.push('</a>');
  reader.end();
  assert.ok((told[0]?.length ?? 0) < 5000);
  assert.match(told[0] ?? '', /^y+$/);
});
