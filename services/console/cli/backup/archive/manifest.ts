import { normalize } from 'node:path';
import { z } from 'zod';

/**
 * What a backup says of itself. `sealpost-backup.json` is the first entry of the archive, so that a program of another
 * format says so before it reads gigabytes; `manifest.json` is the last one, when the digests of all others are known.
 */
export const FORMAT = 1;
export const HEAD = 'sealpost-backup.json';
export const MANIFEST = 'manifest.json';

const Digest = z.object({
  /** Bytes of the content. */
  size: z.number().int().nonnegative(),
  /** SHA-256, hex. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type Digest = z.infer<typeof Digest>;

/** Entries below one folder, one after the other: of each its name, a NUL, its size, a NUL and its content. */
const Folder = Digest.extend({ entries: z.number().int().nonnegative() });

const Records = Folder.extend({ records: z.number().int().nonnegative() });

export const Head = z.object({
  format: z.literal(FORMAT),
  /** The version of Sealpost that made it. */
  sealpost: z.string(),
  created: z.iso.datetime(),
  /** The node on whose machine it was made; its folder of data, and its configuration file where it has one. */
  node: z.string(),
  data: z.string(),
  config: z.string().optional(),
  /** To whom the folder of data belonged. */
  owner: z.object({ uid: z.number().int(), gid: z.number().int() }).optional(),
});
export type Head = z.infer<typeof Head>;

/** `path`: absolute, without `..`. */
const Place = z.object({
  path: z.string().refine((path) => path.startsWith('/') && normalize(path) === path, 'expected an absolute path'),
  mode: z.number().int(),
  uid: z.number().int(),
  gid: z.number().int(),
});
export type Place = z.infer<typeof Place>;

export const FilePart = Place.extend(Digest.shape);
export type FilePart = z.infer<typeof FilePart>;

export const Manifest = Head.extend({
  files: z.array(FilePart),
  /** The folders that these are in, from the root on. */
  folders: z.array(Place),
  /** Environment variables that had NEKs. */
  environment: z.array(Digest.extend({ name: z.string() })),
  /** Records by map, an entry for each page of them; `node`: whose. */
  records: z.object({ node: z.string(), keys: Records, directory: Records }),
  queues: z.array(Folder.extend({ node: z.string(), messages: z.number().int(), damaged: z.array(z.string()) })),
  /** The nodes of the cluster with a router, and those of them that did not answer for their queue. */
  nodes: z.array(z.string()),
  missing: z.array(z.string()),
});
export type Manifest = z.infer<typeof Manifest>;

/** Where things are in the archive. */
export const entryOf = {
  file: (path: string): string => `files${path}`,
  environment: (name: string): string => `environment/${name}`,
  records: (map: string, page: number): string => `records/${map}/${String(page).padStart(6, '0')}.jsonl`,
  /** `message!ID`, `recipient!ID!00000` and `body!ID!00000` as files of a folder of the message. */
  mail: (node: string, key: string): string => {
    const [kind = '', id = '', number] = key.split('!');
    const suffix = kind === 'body' ? '' : '.json';
    return `queues/${node}/${id}/${number === undefined ? kind : `${kind}-${number}`}${suffix}`;
  },
} as const;

const MAIL = /^queues\/([A-Za-z0-9_-]+)\/([0-9A-Z]{16})\/(?:(message)\.json|(recipient)-(\d{5})\.json|(body)-(\d{5}))$/;
const RECORDS = /^records\/(keys|directory)\/\d{6,}\.jsonl$/;

/** What an entry is, by its name. */
export type Entry =
  | { kind: 'file'; path: string }
  | { kind: 'environment'; name: string }
  | { kind: 'records'; map: 'keys' | 'directory' }
  | { kind: 'mail'; node: string; id: string; key: string };

/** Undefined: no backup has such an entry. */
export function parseEntry(name: string): Entry | undefined {
  if (name.startsWith('files/')) return { kind: 'file', path: name.slice('files'.length) };
  if (/^environment\/[^/]+$/.test(name)) return { kind: 'environment', name: name.slice('environment/'.length) };
  const map = RECORDS.exec(name)?.[1];
  if (map === 'keys' || map === 'directory') return { kind: 'records', map };
  const [, node, id, message, recipient, recipientNumber, body, bodyNumber] = MAIL.exec(name) ?? [];
  if (node === undefined || id === undefined) return undefined;
  const rest = message === undefined ? `!${recipientNumber ?? bodyNumber}` : '';
  return { kind: 'mail', node, id, key: `${message ?? recipient ?? body}!${id}${rest}` };
}
