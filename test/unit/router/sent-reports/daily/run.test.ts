import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReportRuns } from '#services/router/copies/claims.ts';
import { type Gathered, type RowSource, Run, type RunDeps } from '#services/router/sent-reports/daily/run.ts';
import { begin, changed, isReported } from '#services/router/sent-reports/daily/runs.ts';
import { noteOf } from '#services/router/sent-reports/dmarc/note.ts';
import { silentLogger } from '#shared/log.ts';
import type { DmarcRow, ReportUnit } from '#shared/mail/reports/dmarc-rows.ts';
import { ORIGIN } from '#test/unit/router/fixture.ts';
import { found } from '#test/unit/router/sent-reports/dmarc/found.ts';

/** A run at one of several routers, which answer or fail as the test says. */

type Source = RowSource<ReportUnit, DmarcRow>;

const DAY = '2030-05-01';
const unit = (name: string): string => `${name}.test!${DAY}`;

/** A router that has one message in each of these units; `fails`: those whose rows it does not give. */
function source(store: string, units: string[], fails: string[] = []): Source {
  return {
    ...{ store, node: store },
    units: async (after) => units.map(unit).filter((name) => name > after),
    rows: async (name) => {
      if (fails.map(unit).includes(name)) throw new Error('gone');
      const { published, row } =
        noteOf(found('one.example'), { origin: ORIGIN, reversePath: '', at: 0 }) ?? assert.fail();
      return { unit: { published, seen: 0, rows: 1, uncounted: 0 }, rows: [{ count: 1, row }] };
    },
  };
}

class Night {
  runs: ReportRuns | undefined;
  readonly sent: string[] = [];
  last: Gathered<ReportUnit, DmarcRow> | undefined;
  /** What becomes of the report on a unit. */
  outcome: (name: string) => 'sent' | 'unwanted' | 'later' = () => 'sent';
  dnsWorks = true;

  async run(own: Source, others: Source[]): Promise<void> {
    this.runs = begin(this.runs, { store: own.store, node: own.node, day: DAY }, () => false);
    const [epoch = assert.fail()] = this.runs.epochs;
    const send = async (gathered: Gathered<ReportUnit, DmarcRow>) => {
      this.last = gathered;
      const { unit: name, rows } = gathered;
      const outcome = this.outcome(name);
      if (outcome === 'sent') this.sent.push(`${name.split('.')[0]}${rows[0]?.count}`);
      return outcome;
    };
    const advance: RunDeps<ReportUnit, DmarcRow>['claims']['advance'] = async (number, change) => {
      this.runs = changed(this.runs, number, change) ?? assert.fail('deposed');
      return this.runs.epochs[0] ?? assert.fail();
    };
    const sender = { send, hearsDns: async () => this.dnsWorks };
    const deps = {
      name: 'DMARC',
      log: silentLogger,
      own,
      others,
      sender,
      claims: { advance },
      removal: async () => [],
    };
    await new Run({ ...deps, signal: new AbortController().signal }, epoch).finish();
  }

  reported(store: string, name: string, epoch = 1): boolean | undefined {
    return isReported(this.runs, { unit: unit(name), store, epoch });
  }
}

test('a router that fails in the middle is left out from there, and only its later rows stay', async () => {
  const night = new Night();
  await night.run(source('A', ['a', 'b', 'd']), [source('B', ['a', 'b', 'c', 'd'], ['b'])]);
  assert.deepEqual(night.sent, ['a2', 'b1', 'd1']);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((name) => night.reported('B', name)),
    [true, false, false, false],
  );
  assert.equal(night.reported('A', 'b'), true);
});

test('another router goes on after the last report that is in a queue, and sends the next one with the rows of all', async () => {
  const night = new Night();
  const dies = source('A', ['a', 'b', 'c'], ['b']);
  await assert.rejects(night.run(dies, [source('B', ['a', 'b', 'c'])]), /gone/);
  assert.deepEqual(night.sent, ['a2']);
  await night.run(source('B', ['a', 'b', 'c']), []);
  assert.deepEqual(night.sent, ['a2', 'b1', 'c1']);
  // Those that B gave to A for a report that was never sent are in its own.
  assert.deepEqual(
    [night.reported('B', 'a'), night.reported('B', 'b'), night.reported('B', 'b', 2)],
    [true, false, true],
  );
});

test('a report that cannot be told where to go stays for the next night, and does not hold up the others', async () => {
  const night = new Night();
  night.outcome = (name) => (name === unit('b') ? 'later' : name === unit('c') ? 'unwanted' : 'sent');
  await night.run(source('A', ['a', 'b', 'c', 'd']), []);
  assert.deepEqual(night.sent, ['a1', 'd1']);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((name) => night.reported('A', name)),
    [true, false, true, true],
  );
});

test('somebody whose name servers are silent holds up no reports; DNS that is silent does', async () => {
  const night = new Night();
  const hostile = Array.from({ length: 250 }, (_, n) => `h${String(n).padStart(3, '0')}`);
  night.outcome = (name) => (name.startsWith('h') ? 'later' : 'sent');
  night.dnsWorks = false;
  await assert.rejects(night.run(source('A', [...hostile, 'z']), []), /DNS gives no answer/);
  assert.deepEqual([night.sent, night.reported('A', 'h100')], [[], false]);
  night.dnsWorks = true;
  await night.run(source('A', [...hostile, 'z']), []);
  assert.deepEqual(night.sent, ['z1']);
});

test('rows as long as strangers can make them fill no memory, and all messages are accounted for', async () => {
  const night = new Night();
  const made = noteOf(found('one.example'), { origin: ORIGIN, reversePath: '', at: 0 }) ?? assert.fail();
  const long = 'x'.repeat(240);
  const dkimFound = Array.from({ length: 10 }, () => ({ domain: long, selector: long, result: 'fail' }));
  /** A router with 4000 messages, each in a row of 5 KB of its own. */
  const many = (store: string): Source => ({
    ...source(store, ['a']),
    rows: async (_, after) => {
      const page = Number(after);
      const rows = Array.from({ length: 100 }, (_, n) => {
        const row = { ...made.row, envelopeFrom: `${store}${page}-${n}.test`, dkimFound };
        return { count: 1, row };
      });
      const unit = { published: made.published, seen: 0, rows: 4000, uncounted: 0 };
      return { unit, rows, ...(page < 39 && { next: String(page + 1) }) };
    },
  });
  await night.run(many('A'), [many('B'), many('C')]);
  const { rows, uncounted } = night.last ?? assert.fail();
  assert.ok(JSON.stringify(rows).length < 30 * 2 ** 20);
  assert.equal(rows.length + uncounted, 12_000);
});
