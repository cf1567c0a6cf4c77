import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestBrowser } from '#test/kit/browser/browser.ts';
import { ConsoleSite } from '#test/kit/console/site.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SignInProvider, WEB_CLIENT } from '#test/kit/openid/sign-in-provider.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** A browser that signs in to the console at a real OpenID provider. */

test('an OpenID provider leads back to the page that was asked for', {
  ...needs('chromium'),
  timeout: 120_000,
}, async () => {
  const consolePort = await freePort();
  const origin = `https://localhost:${consolePort}`;
  await using provider = await SignInProvider.start(`${origin}/api/sign-in/openid/callback`);
  await using _ = await ConsoleSite.start({
    consolePort,
    console: `  openid: { issuer: "${provider.issuer}", client-id: ${WEB_CLIENT.id}, client-secret: "${WEB_CLIENT.secret}" }\n`,
    people: 'people: [{ user: alice@example.com, role: operator }]',
  });
  await using browser = await TestBrowser.start();
  await using window = await browser.open();
  const { page } = window;
  const button = page.getByRole('link', { name: 'Sign in at your provider' });

  provider.visitor = { user: 'u1', email: 'mallory@example.com', verified: true };
  await page.goto(`${origin}/keys?domain=example.com`);
  await button.waitFor();
  await window.check();
  await button.click();
  await page
    .getByRole('alert')
    .getByText(/no entry in console\.people/)
    .waitFor();
  assert.equal(page.url(), `${origin}/`);

  await page.context().clearCookies();
  provider.visitor = { user: 'u2', email: 'alice@example.com', verified: true };
  await page.goto(`${origin}/keys?domain=example.com`);
  await button.click();
  await page.getByRole('heading', { name: 'Keys', level: 1 }).waitFor();
  assert.equal(page.url(), `${origin}/keys?domain=example.com`);
  await page.getByText('alice@example.com').first().waitFor();
});
