import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandsOf, DocumentedCommands } from '#test/kit/docs/commands.ts';
import { parsePage } from '#test/kit/docs/markdown.ts';

/** How scenarios find their commands in the documents. */

test('commands are the lines of blocks of shell, without remarks, with lines that go on', () => {
  const page = "`not this`\n```sh\na --b   # why\n# alone\n\nc \\\n  --d x\necho '#1'\n```\n```yaml\ne: f\n```\n";
  assert.deepEqual(commandsOf(parsePage(page).blocks), ['a --b', 'c --d x', "echo '#1'"]);
});

test('a command is found by its words, and fails where the page has none or several', async () => {
  const documents = await DocumentedCommands.read();
  const page = 'docs/operate/keys.md';
  assert.equal(
    documents.find(page, 'keys rollback', { 'example.com': 'corp.test' }),
    'sealpost keys rollback corp.test',
  );
  assert.throws(() => documents.find(page, 'keys rollback', { nothing: 'x' }), /has no “nothing”/);
  assert.throws(() => documents.find(page, 'keys unheard-of'), /has nothing with/);
  assert.throws(() => documents.find(page, 'sealpost keys'), /has \d+ with/);
  assert.equal(documents.find('docs/install/compose.md', 'docker-compose up -d'), 'docker-compose up -d');
});
