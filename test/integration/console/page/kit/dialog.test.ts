import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { TestBrowser, type TestWindow } from '#test/kit/browser/browser.ts';
import { consoleSection, signIn } from '#test/kit/browser/console.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** Questions, forms and notes of the page, with texts that strangers may have written. */

/** In the browser: buttons in place of a page. What they did is in `window.done`. */
const SHOW = `(async () => {
  const { html, render, useState } = await import('/vendor/preact.js');
  const { ActionButton, FormDialog } = await import('/page/kit/dialog.ts');
  const { TextField } = await import('/page/kit/form.ts');
  const { Copyable } = await import('/page/kit/copy.ts');
  window.done = [];
  const hostile = '<img src=x onerror=alert(1)>';
  const question = (more) => ({ title: 'Remove ' + hostile + '?', text: 'It is gone then.', verb: 'Remove it', danger: true, ...more });
  const run = (what) => async () => { window.done.push(what); };
  function Form() {
    const [open, setOpen] = useState(false);
    const [name, setName] = useState('');
    const submit = async () => {
      if (name === 'taken') throw new Error('there is a key ' + hostile + ' already');
      window.done.push(name);
    };
    return html\`<button onClick=\${() => setOpen(true)}>Create</button>
      \${open && html\`<\${FormDialog} title="Create a key" verb="Create the key" submit=\${submit} done="The key is created." onClose=\${() => setOpen(false)}>
        <\${TextField} label="Selector" value=\${name} onValue=\${setName} hint="a label of DNS" problem=\${name === '' ? 'It needs a name.' : undefined} />
      <//>\`}\`;
  }
  const main = document.getElementById('main');
  main.replaceChildren();
  render(html\`<h1>Kit</h1>
    <\${ActionButton} label="Ask" confirm=\${question({})} run=\${run('asked')} done="It is removed." />
    <\${ActionButton} label="Type" confirm=\${question({ typed: 'm1' })} run=\${run('typed')} done="It is removed." />
    <\${ActionButton} label="Fail" run=\${async () => { throw new Error(hostile + ' is not there'); }} done="never" />
    <\${Form} /><\${Copyable} label="the record" text=\${hostile} />\`, main);
})()`;

describe('dialogs of the page', { ...needs('chromium'), timeout: 120_000 }, () => {
  const undo = new AsyncDisposableStack();
  let browser: TestBrowser;
  let node: SealpostNode;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    node = undo.use(await SealpostNode.create({ sink: 1, config: await consoleSection() }));
    await node.start();
  });
  after(() => undo.disposeAsync());

  /** In place of a page that shows nothing of the node. */
  const show = async (window: TestWindow): Promise<void> => {
    const origin = await signIn(window, node);
    await window.page.goto(`${origin}/nowhere`);
    await window.page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    await window.page.evaluate(SHOW);
  };
  const done = (page: Page): Promise<string[]> => page.evaluate('window.done');
  const focused = (page: Page): Promise<string> => page.evaluate('document.activeElement.textContent.trim()');

  test('a question names the thing, and nothing is done without a yes', async () => {
    await using window = await browser.open();
    const { page } = window;
    await show(window);
    const ask = page.getByRole('button', { name: 'Ask' });
    await ask.click();
    const dialog = page.getByRole('dialog', { name: 'Remove <img src=x onerror=alert(1)>?' });
    await dialog.waitFor();
    assert.equal(await focused(page), 'Cancel', 'the key Enter alone does no harm');
    assert.deepEqual(await window.violations(), []);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    assert.equal(await focused(page), 'Ask', 'the focus is back');
    assert.deepEqual(await done(page), []);
    await ask.click();
    await dialog.getByRole('button', { name: 'Remove it' }).click();
    await page.getByRole('status').getByText('It is removed.').waitFor();
    assert.deepEqual(await done(page), ['asked']);
    assert.equal(await page.locator('img').count(), 0);
  });

  test('where much is lost, its name must be typed', async () => {
    await using window = await browser.open({ theme: 'dark' });
    const { page } = window;
    await show(window);
    await page.getByRole('button', { name: 'Type' }).click();
    await page.keyboard.type('m');
    await page.keyboard.press('Enter');
    assert.equal(await page.getByRole('button', { name: 'Remove it' }).isDisabled(), true);
    assert.deepEqual(await done(page), []);
    assert.deepEqual(await window.violations(), []);
    await page.keyboard.type('1');
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('It is removed.').waitFor();
    assert.deepEqual(await done(page), ['typed']);
  });

  test('a form stays, and says why, until it is done', async () => {
    await using window = await browser.open({ width: 380, height: 700 });
    const { page } = window;
    await show(window);
    await page.getByRole('button', { name: 'Create' }).click();
    const field = page.getByRole('textbox', { name: 'Selector' });
    await page.locator('input:focus').waitFor();
    assert.deepEqual(await window.violations(), []);
    assert.equal(await window.sideways(), 0);
    await field.fill('taken');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('There is a key <img src=x onerror=alert(1)> already.').waitFor();
    assert.deepEqual(await window.violations(), []);
    await field.fill('s2');
    await page.getByRole('button', { name: 'Create the key' }).click();
    await page.getByRole('status').getByText('The key is created.').waitFor();
    assert.equal(await page.getByRole('dialog').count(), 0);
    assert.deepEqual(await done(page), ['s2']);
  });

  test('what fails is said', async () => {
    for (const theme of ['light', 'dark'] as const) {
      await using window = await browser.open({ theme });
      const { page } = window;
      await show(window);
      await page.getByRole('button', { name: 'Fail' }).click();
      await page.getByRole('status').getByText('<img src=x onerror=alert(1)> is not there.').waitFor();
      assert.deepEqual(await window.violations(), []);
      await page.getByRole('button', { name: 'Dismiss' }).click();
      assert.equal(await page.getByText('is not there').count(), 0);
    }
  });
});
