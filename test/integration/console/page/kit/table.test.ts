import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { TestBrowser } from '#test/kit/browser/browser.ts';
import { consoleSection, signIn } from '#test/kit/browser/console.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** The table of the page with more rows than a document holds well. */

const ROWS = 100_000;

/** In the browser: a table in place of the page, with texts that strangers may have written. */
const SHOW = `(async () => {
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

describe(`a table of ${ROWS} rows`, { ...needs('chromium'), timeout: 120_000 }, () => {
  const undo = new AsyncDisposableStack();
  let browser: TestBrowser;
  let node: SealpostNode;

  before(async () => {
    browser = undo.use(await TestBrowser.start());
    node = undo.use(await SealpostNode.create({ sink: 1, config: await consoleSection() }));
    await node.start();
  });
  after(() => undo.disposeAsync());

  const focused = (page: Page): Promise<string> => page.evaluate('document.activeElement.textContent.trim()');
  const inDocument = (page: Page): Promise<number> => page.evaluate("document.querySelectorAll('tbody tr').length");
  const rowOf = (page: Page, id: string) => page.getByRole('link', { name: id, exact: true });

  test('has few of them in the document, and says how many there are', async () => {
    await using window = await browser.open();
    const { page } = window;
    await signIn(window, node);
    await page.evaluate(SHOW);
    assert.ok((await inDocument(page)) < 80);
    assert.equal(await page.getByRole('table').getAttribute('aria-rowcount'), String(ROWS + 1));
    await page.evaluate(`document.querySelector('.table-box').scrollTop = ${36 * 50_000}`);
    await rowOf(page, 'm50000').waitFor();
    assert.equal(await page.locator('tr', { has: rowOf(page, 'm50000') }).getAttribute('aria-rowindex'), '50002');
    assert.ok((await inDocument(page)) < 80);
    assert.equal(await page.locator('main img').count(), 0);
    assert.deepEqual(await window.violations(), []);
  });

  test('is one stop of the Tab key, and moved through by the keys of lists', async () => {
    await using window = await browser.open();
    const { page } = window;
    await signIn(window, node);
    await page.evaluate(SHOW);
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
    await using window = await browser.open();
    const { page } = window;
    await signIn(window, node);
    await page.evaluate(SHOW);
    const sort = page.getByRole('button', { name: 'Size' });
    await sort.click();
    await page.getByRole('columnheader', { name: 'Size' }).and(page.locator('[aria-sort=ascending]')).waitFor();
    await rowOf(page, 'm0').waitFor();
    // How fast that is, the benchmark of the console measures.
    await page.evaluate(`document.querySelector('.table-box').scrollTop = ${36 * 7919}`);
    await page.locator('[aria-rowindex="7921"]', { has: rowOf(page, 'm1') }).waitFor();
  });

  test('shows cards on a narrow screen', async () => {
    await using window = await browser.open({ width: 380, height: 700 });
    const { page } = window;
    await signIn(window, node);
    await page.evaluate(SHOW);
    await page.getByRole('link', { name: '<img src=x onerror=alert(1)> 3', exact: true }).waitFor();
    assert.equal(await window.sideways(), 0);
    assert.deepEqual(await window.violations(), []);
  });
});
