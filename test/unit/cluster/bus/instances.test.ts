import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Instances } from '#cluster/bus/instances.ts';

const POLICY = { node: 'a', process: 'P1', services: ['policy', 'member'], connection: 1, serving: true };
const CHECK = { service: 'policy', version: 1, operation: 'sender-check' };
const NONE: ReadonlySet<string> = new Set();
/** A call that has all the time it wants. */
const FAR = Number.POSITIVE_INFINITY;

/** Let so many seconds of silence pass. */
function silence(instances: Instances, seconds: number): void {
  for (let step = 0; step < seconds * 2; step++) instances.step();
}

suite('instances of a service', () => {
  test('one that misses heartbeats is passed over, and chosen again when it is heard', async () => {
    const instances = new Instances(() => true);
    instances.hear(POLICY);
    instances.hear({ ...POLICY, node: 'b', process: 'P2' });
    silence(instances, 2);
    instances.hear({ ...POLICY, node: 'b', process: 'P2' });
    silence(instances, 1);
    for (let n = 0; n < 50; n++) assert.equal(await instances.choose('policy', NONE, FAR), 'P2');
    assert.equal(await instances.choose('policy', new Set(['P2']), FAR), undefined);
    assert.equal(await instances.choose('router', NONE, FAR), undefined);
    instances.hear(POLICY);
    assert.equal(await instances.choose('policy', new Set(['P2']), FAR), 'P1');
  });

  test('the first one that is heard is chosen, by those who wait for it', async () => {
    const instances = new Instances(() => true);
    assert.equal(instances.knows('policy'), false);
    const patient = instances.choose('policy', NONE, FAR, true);
    assert.equal(await instances.choose('policy', NONE, FAR), undefined);
    instances.hear({ ...POLICY, process: 'P3', services: ['router'] });
    instances.hear(POLICY);
    assert.equal(await patient, 'P1');
    assert.equal(instances.knows('policy'), true);
    assert.equal(await instances.choose('signer', NONE, performance.now() + 20, true), undefined);
  });

  test('one that others have not heard lately is passed over, and given up, as if it had been heard here', async () => {
    const instances = new Instances(() => true);
    const gaveUp: string[] = [];
    instances.hear(POLICY, 4000);
    instances.hear({ ...POLICY, node: 'b', process: 'P2' }, 900);
    for (let n = 0; n < 20; n++) assert.equal(await instances.choose('policy', NONE, FAR), 'P2');
    instances.watch(CHECK, 'a', () => gaveUp.push('a'));
    instances.hear({ ...POLICY, node: 'b', process: 'P2' });
    instances.hear({ ...POLICY, node: 'b', process: 'P2' }, 4500);
    assert.equal(instances.isSilent('policy', 'b'), false);
    silence(instances, 1);
    assert.deepEqual(gaveUp, ['a']);
  });

  test('calls that wait for one that falls silent are given up, and no others', () => {
    const instances = new Instances(() => true);
    const gaveUp: string[] = [];
    instances.hear(POLICY);
    for (const name of ['P1', 'a', 'P2']) instances.watch(CHECK, name, () => gaveUp.push(name));
    instances.watch(CHECK, 'a', () => gaveUp.push('ended'))();
    silence(instances, 4);
    assert.deepEqual(gaveUp, []);
    silence(instances, 1);
    assert.deepEqual(gaveUp, ['P1', 'a']);
  });

  test('a node is not silent while another process of it with the service is heard', () => {
    const instances = new Instances(() => true);
    instances.hear(POLICY);
    silence(instances, 5);
    assert.equal(instances.isSilent('policy', 'a'), true);
    instances.hear({ ...POLICY, process: 'P2' });
    assert.equal(instances.isSilent('policy', 'a'), false);
    assert.equal(instances.isSilent('policy', 'P1'), true);
    assert.equal(instances.isSilent('policy', 'never-heard'), false);
  });

  test('what was sent over a lost connection is given up when the process is heard over another one', () => {
    const instances = new Instances(() => true);
    let gaveUp = 0;
    instances.hear(POLICY);
    assert.equal(instances.nameOf('policy', 'a'), 'P1-1');
    instances.watch(CHECK, 'a', () => gaveUp++);
    instances.hear(POLICY);
    assert.equal(gaveUp, 0);
    instances.hear({ ...POLICY, connection: 2 });
    assert.equal(gaveUp, 1);
    assert.equal(instances.nameOf('policy', 'a'), 'P1-2');
  });

  test('a process of the version before, which names no connection, is called by its name', () => {
    const instances = new Instances(() => true);
    instances.hear({ ...POLICY, connection: undefined });
    assert.equal(instances.nameOf('policy', 'a'), 'a');
    assert.equal(instances.nameOf('policy', 'P1'), 'P1');
  });

  test('without a connection nobody falls silent, and over a new one each must be heard again', async () => {
    let connected = false;
    const instances = new Instances(() => connected);
    instances.hear(POLICY);
    silence(instances, 60);
    assert.equal(await instances.choose('policy', NONE, FAR), 'P1');
    connected = true;
    instances.reconnected();
    const choice = instances.choose('policy', NONE, FAR);
    instances.hear({ ...POLICY, connection: 2 });
    assert.equal(await choice, 'P1');
    instances.reconnected();
    assert.equal(await instances.choose('policy', NONE, FAR), undefined, 'after waiting for a heartbeat');
  });

  test('one that stops, or that NATS does not know, is asked no more', async () => {
    const instances = new Instances(() => true);
    instances.hear(POLICY);
    instances.hear({ ...POLICY, serving: false });
    assert.equal(await instances.choose('policy', NONE, FAR), undefined);
    instances.hear(POLICY);
    instances.markAbsent('P1');
    assert.equal(await instances.choose('policy', NONE, FAR), undefined);
  });

  test('calls that wait for one that NATS does not know any more are given up all the same', () => {
    const instances = new Instances(() => true);
    let gaveUp = 0;
    instances.hear(POLICY);
    instances.watch(CHECK, 'P1', () => gaveUp++);
    instances.markAbsent('P1');
    silence(instances, 5);
    assert.equal(gaveUp, 1);
  });

  test('a call does not wait for a heartbeat beyond its own time', async () => {
    const instances = new Instances(() => true);
    instances.hear(POLICY);
    instances.reconnected();
    const choice = instances.choose('policy', NONE, performance.now());
    assert.equal(await Promise.race([choice, Promise.resolve('waits').then(() => 'waits')]), undefined);
  });
});
