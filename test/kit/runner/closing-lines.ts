import type { TestEvent } from 'node:test/reporters';

/**
 * A test reporter that ends a run with its counts in the form of TAP (`# pass 12`) and names what was skipped and why,
 * so that a missing program is seen without reading up.
 */
export default async function* closingLines(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const skipped = new Map<string, number>();
  for await (const event of events) {
    if (event.type === 'test:pass' && typeof event.data.skip === 'string') {
      skipped.set(event.data.skip, (skipped.get(event.data.skip) ?? 0) + 1);
    }
    if (event.type !== 'test:summary' || event.data.file !== undefined) continue;
    const { counts } = event.data;
    for (const [reason, count] of skipped) yield `# ${count} skipped: ${reason}\n`;
    yield `# tests ${counts.tests}\n# pass ${counts.passed}\n# fail ${counts.tests - counts.passed - counts.skipped - counts.todo}\n`;
    yield `# skipped ${counts.skipped}\n# duration ${(event.data.duration_ms / 1000).toFixed(1)} s\n`;
  }
}
