import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { renderErrors } from '#test/kit/docs/render-errors.ts';

test('docs/errors.md is what the table of codes and the contracts say', () => {
  const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
  assert.equal(page, renderErrors(), 'run "npm run docs"');
});
