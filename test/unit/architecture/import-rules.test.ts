import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { specifiers } from '#test/kit/source-tree.ts';
import { brokenImports, circles, folderCircles, objection, packageObjection } from './import-rules.ts';

/** A test of the fences: each is shown a tree that breaks it, and one that does not. */

describe('imports', () => {
  for (const [file, imported, allowed] of [
    ['shared/a.ts', 'cluster/bus/bus.ts', false],
    ['shared/a.ts', 'services/signer/contract.ts', false],
    ['shared/dkim/a.ts', 'shared/b.ts', true],
    ['cluster/store.ts', 'shared/log.ts', true],
    ['cluster/actor.ts', 'services/signer/contract.ts', false],
    ['cluster/actor.ts', 'services/topology.ts', false],
    ['services/create.ts', 'services/signer/service.ts', true],
    ['services/create.ts', 'services/signer/keyring.ts', false],
    ['services/create.ts', 'services/router/queue/service.ts', false],
    ['services/node.ts', 'services/create.ts', true],
    ['services/closed-stores.ts', 'services/router/closed.ts', true],
    ['services/closed-stores.ts', 'services/router/service.ts', false],
    ['services/console/cli/backup/restore.ts', 'services/closed-stores.ts', true],
    ['services/console/cli/backup/restore.ts', 'services/router/closed.ts', false],
    ['services/router/service.ts', 'services/closed-stores.ts', false],
    ['services/node.ts', 'services/signer/service.ts', false],
    ['services/console/cli/commands/start.ts', 'services/create.ts', false],
    ['services/node.ts', 'cluster/actor.ts', true],
    ['services/node.ts', 'services/topology.ts', true],
    ['services/node.ts', 'test/kit/wait.ts', false],
    ['services/topology.ts', 'services/signer/contract.ts', true],
    ['services/topology.ts', 'services/signer/service.ts', false],
    ['services/topology.ts', 'services/node.ts', false],
    ['services/signer/contract.ts', 'shared/contract.ts', true],
    ['services/signer/contract.ts', 'services/credential-store/contract.ts', true],
    ['services/signer/contract.ts', 'services/signer/keyring.ts', false],
    ['services/signer/contract.ts', 'services/signer/contract/keys.ts', true],
    ['services/signer/contract/keys.ts', 'services/signer/contract/common.ts', true],
    ['services/signer/contract/keys.ts', 'services/signer/keyring.ts', false],
    ['services/signer/contract/keys.ts', 'cluster/actor.ts', false],
    ['services/policy/contract.ts', 'services/signer/contract/keys.ts', false],
    ['services/policy/service.ts', 'services/signer/contract/keys.ts', false],
    ['services/signer/contract.ts', 'cluster/actor.ts', false],
    ['services/console/cli/commands/start.ts', 'services/node.ts', true],
    ['services/console/reports/doctor/facts.ts', 'services/node.ts', false],
    ['services/console/reports/doctor/facts.ts', 'services/console/cli/context.ts', false],
    ['services/console/cli/commands/doctor.ts', 'services/console/reports/doctor/facts.ts', true],
    ['services/console/cli/keys/list.ts', 'services/credential-store/contract.ts', true],
    ['services/console/cli/keys/list.ts', 'services/credential-store/records/records.ts', false],
    ['services/console/page/pages/keys.ts', 'services/console/page/kit/api.ts', true],
    ['services/console/page/pages/keys.ts', 'services/console/schemas/keys.ts', true],
    ['services/console/page/pages/keys.ts', 'shared/keys/key-status.ts', true],
    ['services/console/page/pages/keys.ts', 'services/console/reports/keys/text.ts', false],
    ['services/console/page/pages/keys.ts', 'services/credential-store/contract.ts', false],
    ['services/console/http/static.ts', 'services/console/page/pages.ts', false],
    ['services/router/queue/queue.ts', 'services/signer/contract.ts', true],
    ['services/router/queue/queue.ts', 'services/signer/keyring.ts', false],
    ['services/router/queue/queue.ts', 'services/topology.ts', true],
    ['services/router/queue/queue.ts', 'services/node.ts', false],
    ['services/router/delivery/mx.ts', 'services/router/queue/queue.ts', true],
    ['services/router/queue/queue.ts', 'cluster/store.ts', true],
    ['services/router/queue/queue.ts', 'services/other.ts', false],
    ['services/router/queue/queue.ts', 'test/kit/wait.ts', false],
    ['shared/a.ts', 'test/kit/wait.ts', false],
    ['test/unit/node.test.ts', 'services/node.ts', true],
    ['test/unit/router/a.test.ts', 'test/kit/wait.ts', true],
    ['test/unit/router/a.test.ts', 'test/unit/router/b.test.ts', false],
    ['test/kit/program.ts', 'test/kit/wait.ts', true],
    ['test/kit/program.ts', 'test/suites/bus.ts', true],
    ['test/kit/program.ts', 'test/unit/router/fixture.ts', false],
    ['test/suites/bus.ts', 'test/integration/router/fixture.ts', false],
  ] as [string, string, boolean][]) {
    test(`the rule ${allowed ? 'lets' : 'keeps'} ${file} ${allowed ? '' : 'from '}import ${imported}`, () => {
      assert.equal(objection(file, imported) === undefined, allowed);
    });
  }

  for (const [file, specifier, allowed] of [
    ['cluster/level.ts', 'level', true],
    ['cluster/store.ts', 'level', false],
    ['cluster/level.ts', 'classic-level', false],
    ['cluster/bus/nats-bus.ts', 'nats', true],
    ['shared/a.ts', 'nats', false],
    ['services/listener/smtp-server/server.ts', 'smtp-server/lib/smtp-stream.js', true],
    ['services/listener/session/session.ts', 'smtp-server/lib/smtp-stream.js', false],
    ['cluster/store.ts', '@peculiar/x509', false],
    ['services/router/service.ts', 'zod', true],
  ] as [string, string, boolean][]) {
    test(`the rule ${allowed ? 'lets' : 'keeps'} ${file} ${allowed ? '' : 'from '}use the package ${specifier}`, () => {
      assert.equal(packageObjection(file, specifier) === undefined, allowed);
    });
  }

  test('specifiers are found however they are written', () => {
    for (const text of [
      "import 'a';",
      'import x from "a";',
      "import{x}from'a';",
      "import {\n x\n} from 'a';",
      "import type { X } from 'a';",
      "import x, { type Y } from 'a';",
      "import * as x from 'a';",
      "import x from 'a' with { type: 'json' };",
      "export * from 'a';",
      "export { x } from 'a';",
      "await import('a');",
      'await import(`a`);',
      "await import(\n  'a'\n);",
      "await import(/* why */ 'a');",
      "let x: import('a').X;",
      "import type x = require('a');",
      "const x = require('a');",
    ]) {
      assert.deepEqual(specifiers(text), ['a'], text);
    }
  });

  test('an import of what is no literal is seen', () => {
    for (const text of ['import(name)', `import(\`./\${name}.ts\`)`, "require('./a' + b)"]) {
      const tree = new Map([['services/signer/a.ts', `await ${text};`]]);
      assert.equal(brokenImports(tree).length, 1, text);
    }
    assert.deepEqual(brokenImports(new Map([['services/signer/a.ts', "await import('./b.ts');"]])), []);
  });

  test('the page gets types from elsewhere, and no values', () => {
    const page = (text: string) => brokenImports(new Map([['services/console/page/pages/a.ts', text]]));
    const path = '#services/console/schemas/a.ts';
    for (const text of [
      `import type { A } from '${path}';`,
      `import type {\n  A,\n} from '${path}';\nimport { b } from './b.ts';\nimport { html } from '/vendor/preact.js';`,
    ]) {
      assert.deepEqual(page(text), []);
    }
    for (const text of [
      `import { A } from '${path}';`,
      `import type { B } from './b.ts';\nimport { A } from '${path}';`,
      `import type { A } from '${path}';\nimport { a } from '${path}';`,
      "import { html } from 'htm/preact';",
    ]) {
      assert.ok(page(text).length > 0, text);
    }
  });

  test('a broken wall is named with its file, and so is a path that hides a wall or feigns one', () => {
    const tree = new Map([
      ['shared/a.ts', "import { x } from '#cluster/actor.ts';"],
      ['services/signer/a.ts', "import { x } from '#services/signer/b.ts';\nimport z from 'zod';"],
      ['services/signer/b.ts', "import { x } from '../../shared/a.ts';\nimport { a } from './a.ts';"],
      ['services/signer/c.ts', "import { connect } from 'nats';"],
      ['test/unit/signer/a.test.ts', "import { x } from '../router/fixture.ts';\nimport { y } from './fixture.ts';"],
      [
        'test/unit/signer/b.test.ts',
        "import { y } from '#test/unit/signer/fixture.ts';\nimport { Level } from 'level';",
      ],
    ]);
    assert.deepEqual(brokenImports(tree), [
      'shared/a.ts imports #cluster/actor.ts: shared knows nothing of ours but itself',
      'services/signer/a.ts imports #services/signer/b.ts: within one wall the path is relative',
      'services/signer/b.ts imports ../../shared/a.ts: across a wall the path begins with #',
      'services/signer/c.ts imports nats: this package is for cluster/bus/ and cluster/replicated/',
      'test/unit/signer/a.test.ts imports ../router/fixture.ts: across a wall the path begins with #',
      'test/unit/signer/b.test.ts imports #test/unit/signer/fixture.ts: within one wall the path is relative',
    ]);
  });
});

test('files that import each other are a circle, over any number of steps, also by types alone', () => {
  const tree = new Map([
    ['services/x/a.ts', "import { b } from './b.ts';"],
    ['services/x/b.ts', "import type { C } from './c.ts';\nimport { d } from './d.ts';"],
    ['services/x/c.ts', "import { a } from './a.ts';"],
    ['services/x/d.ts', "import { e } from './e.ts';"],
    ['services/x/e.ts', ''],
  ]);
  assert.deepEqual(circles(tree), ['services/x/a.ts → services/x/b.ts → services/x/c.ts → services/x/a.ts']);
  tree.set('services/x/c.ts', "import { d } from './d.ts';");
  assert.deepEqual(circles(tree), []);
});

test('folders of a service that import each other are a circle, though no file is in one', () => {
  const tree = new Map([
    ['services/x/service.ts', "import { a } from './a/a.ts';"],
    ['services/x/a/a.ts', "import { b } from '../b/b.ts';"],
    ['services/x/b/b.ts', "import { y } from '../y.ts';"],
    ['services/x/b/c.ts', "import type { D } from '../a/d.ts';"],
    ['services/x/a/d.ts', ''],
    ['services/x/y.ts', "import { d } from './a/d.ts';"],
  ]);
  assert.deepEqual(circles(tree), []);
  assert.deepEqual(folderCircles(tree), ['services/x/a → services/x/b → services/x/a']);
  tree.set('services/x/b/c.ts', '');
  assert.deepEqual(folderCircles(tree), []);
});
