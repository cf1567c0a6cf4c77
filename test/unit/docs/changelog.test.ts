import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '#test/kit/docs/pages.ts';

/** CHANGELOG.md has the form of keepachangelog.com, and a section for this version. */

const text = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8');
const headings = [...text.matchAll(/^## (.*)$/gm)].map(([, heading = '']) => heading);

test('first what is not released, then each version with its date, the newest first', () => {
  const [first, ...versions] = headings;
  assert.equal(first, '[Unreleased]');
  for (const heading of versions) assert.match(heading, /^\[\d+\.\d+\.\d+(-[0-9a-z.]+)?\] - \d{4}-\d\d-\d\d$/);
  const dates = versions.map((heading) => heading.slice(-10));
  assert.deepEqual(dates, dates.toSorted().toReversed());
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  assert.ok(versions[0]?.startsWith(`[${version}] `), `the newest is ${version}`);
});

test('kinds of changes are those that it has', () => {
  for (const [, kind = ''] of text.matchAll(/^### (.*)$/gm)) {
    assert.ok(['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'].includes(kind), kind);
  }
});
