import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import type { TestWindow } from '#test/kit/browser/browser.ts';
import { SiteInBrowser, type Visit } from '#test/kit/browser/console.ts';
import { ConsoleSite } from '#test/kit/console/site.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** What pages are made of: questions, forms and notes, a long table, and what is read; with texts that strangers may have written. */

/** In the browser: buttons in place of a page. What they did is in `window.done`. */
const SHOW_DIALOGS = `(async () => {
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

const ROWS = 100_000;

/** In the browser: a table in place of the page, with texts that strangers may have written. */
const SHOW_TABLE = `(async () => {
  const { html, render } = await import('/vendor/preact.js');
  const { Table } = await import('/page/kit/table.ts');
  const rows = Array.from({ length: ${ROWS} }, (_, i) => ({ id: 'm' + i, size: (i * 7919) % ${ROWS}, text: '<img src=x onerror=alert(1)> ' + i }));
  const columns = [
    { title: 'Id', cell: (row) => row.id, width: 8 },
    { title: 'Text', cell: (row) => row.text },
    { title: 'Size', cell: (row) => String(row.size), by: (row) => row.size, numeric: true, width: 8 },
  ];
  const main = document.createElement('main');
  document.body.replaceChildren(main);
  render(html\`<h1>Rows</h1><\${Table} label="Rows" rows=\${rows} columns=\${columns} rowKey=\${(row) => row.id}
    href=\${(row) => '/messages/' + row.id} card=\${(row) => row.text} /><button>after</button>\`, main);
})()`;

/** In the browser: what the API has at `slow`, read again and again. */
const SHOW_DATA = `(async () => {
  const { html, render } = await import('/vendor/preact.js');
  const { useData } = await import('/page/state/data.ts');
  const Answer = () => html\`<p>read: \${useData('slow', {}, 50).data?.count}</p>\`;
  const main = document.getElementById('main');
  main.replaceChildren();
  render(html\`<\${Answer} />\`, main);
})()`;

describe('the kit of the page', { ...needs('chromium'), timeout: 180_000 }, () => {
  const console = new SiteInBrowser(() => ConsoleSite.start());

  /** In place of a page that shows nothing of the node. */
  const showIn = async (script: string, look: Visit): Promise<TestWindow> => {
    const window = await console.open('/nowhere', look);
    await window.page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    await window.page.evaluate(script);
    return window;
  };
  const focused = (page: Page): Promise<string> => page.evaluate('document.activeElement.textContent.trim()');

  test('an answer that takes longer than the time until the next reading is shown', async () => {
    await using window = await console.open('/nowhere');
    const { page } = window;
    let count = 0;
    await page.route('**/api/slow', async (route) => {
      await delay(300);
      // Those that the page has given up take no answer.
      await route.fulfill({ json: { count: ++count } }).catch(() => undefined);
    });
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    await page.evaluate(SHOW_DATA);
    await page.getByText(/^read: [3-9]$/).waitFor();
  });

  describe('dialogs', () => {
    const show = (look: Visit = {}): Promise<TestWindow> => showIn(SHOW_DIALOGS, look);
    const done = (page: Page): Promise<string[]> => page.evaluate('window.done');

    test('a question names the thing, and nothing is done without a yes', async () => {
      await using window = await show();
      const { page } = window;
      const ask = page.getByRole('button', { name: 'Ask' });
      await ask.click();
      const dialog = page.getByRole('dialog', { name: 'Remove <img src=x onerror=alert(1)>?' });
      await dialog.waitFor();
      assert.equal(await focused(page), 'Cancel', 'the key Enter alone does no harm');
      await window.check();
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
      await using window = await show({ theme: 'dark' });
      const { page } = window;
      await page.getByRole('button', { name: 'Type' }).click();
      await page.keyboard.type('m');
      await page.keyboard.press('Enter');
      assert.equal(await page.getByRole('button', { name: 'Remove it' }).isDisabled(), true);
      assert.deepEqual(await done(page), []);
      await window.check();
      await page.keyboard.type('1');
      await page.keyboard.press('Enter');
      await page.getByRole('status').getByText('It is removed.').waitFor();
      assert.deepEqual(await done(page), ['typed']);
    });

    test('a form stays, and says why, until it is done', async () => {
      await using window = await show({ width: 380, height: 700 });
      const { page } = window;
      await page.getByRole('button', { name: 'Create' }).click();
      const field = page.getByRole('textbox', { name: 'Selector' });
      await page.locator('input:focus').waitFor();
      await window.check();
      await field.fill('taken');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').getByText('There is a key <img src=x onerror=alert(1)> already.').waitFor();
      await window.check();
      await field.fill('s2');
      await page.getByRole('button', { name: 'Create the key' }).click();
      await page.getByRole('status').getByText('The key is created.').waitFor();
      assert.equal(await page.getByRole('dialog').count(), 0);
      assert.deepEqual(await done(page), ['s2']);
    });

    test('what fails is said', async () => {
      await using window = await show();
      const { page } = window;
      await page.getByRole('button', { name: 'Fail' }).click();
      await page.getByRole('status').getByText('<img src=x onerror=alert(1)> is not there.').waitFor();
      await window.checkScreens();
      await page.getByRole('button', { name: 'Dismiss' }).click();
      assert.equal(await page.getByText('is not there').count(), 0);
    });
  });

  describe(`a table of ${ROWS} rows`, () => {
    const show = (look: Visit = {}): Promise<TestWindow> => showIn(SHOW_TABLE, look);
    const inDocument = (page: Page): Promise<number> => page.evaluate("document.querySelectorAll('tbody tr').length");
    const rowOf = (page: Page, id: string) => page.getByRole('link', { name: id, exact: true });

    test('has few of them in the document, and says how many there are', async () => {
      await using window = await show();
      const { page } = window;
      assert.ok((await inDocument(page)) < 80);
      assert.equal(await page.getByRole('table').getAttribute('aria-rowcount'), String(ROWS + 1));
      await page.evaluate(`document.querySelector('.table-box').scrollTop = ${36 * 50_000}`);
      await rowOf(page, 'm50000').waitFor();
      assert.equal(await page.locator('tr', { has: rowOf(page, 'm50000') }).getAttribute('aria-rowindex'), '50002');
      assert.ok((await inDocument(page)) < 80);
      assert.equal(await page.locator('main img').count(), 0);
      await window.check();
    });

    test('is one stop of the Tab key, and moved through by the keys of lists', async () => {
      await using window = await show();
      const { page } = window;
      await rowOf(page, 'm0').focus();
      await page.keyboard.press('ArrowDown');
      await page.locator(':focus', { hasText: /^m1$/ }).waitFor();
      await page.keyboard.press('End');
      await page.locator(':focus', { hasText: /^m99999$/ }).waitFor();
      await page.keyboard.press('PageUp');
      await page.keyboard.press('Home');
      await page.locator(':focus', { hasText: /^m0$/ }).waitFor();
      await page.keyboard.press('Tab');
      assert.equal(await focused(page), 'after');
      await page.keyboard.press('Shift+Tab');
      assert.equal(await focused(page), 'm0');
    });

    test('is sorted, and scrolled to where a row stands then', async () => {
      await using window = await show();
      const { page } = window;
      const sort = page.getByRole('button', { name: 'Size' });
      await sort.click();
      await page.getByRole('columnheader', { name: 'Size' }).and(page.locator('[aria-sort=ascending]')).waitFor();
      await rowOf(page, 'm0').waitFor();
      // How fast that is, the benchmark of the console measures.
      await page.evaluate(`document.querySelector('.table-box').scrollTop = ${36 * 7919}`);
      await page.locator('[aria-rowindex="7921"]', { has: rowOf(page, 'm1') }).waitFor();
    });

    test('shows cards on a narrow screen', async () => {
      await using window = await show({ width: 380, height: 700 });
      const { page } = window;
      await page.getByRole('link', { name: '<img src=x onerror=alert(1)> 3', exact: true }).waitFor();
      await window.check();
    });
  });
});
