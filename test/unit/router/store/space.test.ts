import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Space } from '#services/router/store/space.ts';
import { waitFor } from '#test/kit/wait.ts';

test('what was accepted since the last look is taken off, twice, and a no is looked at again soon', async () => {
  let asked = 0;
  const space = new Space(
    '.',
    () => 1000,
    () => {
      asked++;
      return 2000;
    },
  );
  assert.equal(space.available(), 1000);
  space.took(300);
  assert.equal(space.available(), 400);
  assert.equal(asked, 1);
  space.took(300);
  assert.equal(space.available(), -200);
  await waitFor(() => space.available() === 1000, { what: 'a new look' });
  assert.ok(asked <= 3, `${asked} looks`);
});

test('the reserve is read at every question, and a folder that is not there is an error', () => {
  let reserve = 0;
  const space = new Space(
    '.',
    () => reserve,
    () => 500,
  );
  assert.equal(space.available(), 500);
  reserve = 800;
  assert.equal(space.available(), -300);
  assert.throws(() => new Space('/nonexistent/folder', () => 0), { code: 'ENOENT' });
});
