import type { Command } from 'commander';
import { formatDuration, formatTime, parseDuration } from '#shared/units.ts';
import { type CommonOptions, openCaller, withCommon } from '../../context.ts';
import { usageError } from '../../exit.ts';
import { clean, jsonText } from '../../table.ts';
import { DIRECTIONS, type Direction, followTranscript, type SeenLine } from '../transcript.ts';

type TranscriptOptions = CommonOptions & { peer: string; for: string; node?: string; direction?: string };

/** The longest that a forgotten command may go on. */
const LONGEST_MS = 86_400_000;

export function register(program: Command): void {
  withCommon(program.command('transcript'))
    .description(
      'show the SMTP sessions with a peer while they happen, on all nodes and in both directions, without passwords and without mail; --json prints a line for each',
    )
    .requiredOption(
      '--peer <who>',
      'its address, a network such as 192.0.2.0/24, or a domain: that of its mail or in its name',
    )
    .option('--for <duration>', 'how long: 90s, 10m, 1h …', '10m')
    .option('--node <name>', 'only sessions of this node')
    .option('--direction <in|out>', 'only sessions that the peer opens (in), or that we open (out)')
    .action(transcript);
}

async function transcript(options: TranscriptOptions): Promise<void> {
  const { peer, node } = options;
  const ms = parseDuration(options.for);
  if (ms === undefined || ms < 1000 || ms > LONGEST_MS)
    throw usageError(`"${options.for}" is not a duration from 1s to 24h: write 90s or 10m`);
  if (!/^[^\s\x00-\x1f\x7f]{1,255}$/.test(peer))
    throw usageError(`"${peer}" is not a peer: write an address, a network or a domain`);
  await using caller = await openCaller(options);
  const stop = new AbortController();
  const end = (): void => stop.abort();
  const timer = setTimeout(end, ms);
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.once(signal, end);
  let sessions = 0;
  try {
    const seen = new Set<string>();
    const question = { peer, node, directions: directionsOf(options.direction), signal: stop.signal };
    const lost = await followTranscript(caller, question, {
      begun: (nodes) =>
        console.error(
          `sessions with ${clean(peer)} on ${nodes.join(', ')}, for ${formatDuration(ms)}; Control-C ends it`,
        ),
      show(lines) {
        for (const line of lines) {
          if (seen.size < 10_000) seen.add(line.session);
          console.log(options.json ? jsonText(line) : textOf(line));
        }
      },
    });
    sessions = seen.size;
    if (lost > 0) console.error(`${lost} lines more were said than can be kept: choose a peer with less mail`);
  } finally {
    clearTimeout(timer);
    for (const signal of signals) process.removeListener(signal, end);
  }
  if (sessions === 0) {
    const hint = '"sealpost queue list" shows mail that waits, and when it is tried next';
    console.error(`no session with ${clean(peer)} in this time; ${hint}`);
  }
}

function directionsOf(named: string | undefined): Direction[] {
  const all = Object.keys(DIRECTIONS) as Direction[];
  if (named === undefined) return all;
  const found = all.filter((direction) => direction === named);
  if (found.length === 0) throw usageError(`"${named}" is not a direction: write in or out`);
  return found;
}

/** As RFC 5321 writes its examples: `C:` the client says, `S:` the server says. */
const WHO = { client: 'C:', server: 'S:', note: '--' } as const;

function textOf({ at, node, direction, session, peer, by, text }: SeenLine): string {
  const time = `${formatTime(at).slice(11)}.${String(at % 1000).padStart(3, '0')}`;
  return clean(`${time} ${node} ${direction.padEnd(3)} ${session} ${peer} ${WHO[by]} ${text}`);
}
