import { z } from 'zod';

/** What is known of the named encryption keys (NEKs) and of the processes that hold them. */

export const NekStatus = z.object({
  name: z.string(),
  fingerprint: z.string(),
  since: z.number(),
  current: z.boolean(),
  /** Keys that it wraps. */
  keys: z.number().int(),
  /** Password hashes that it wraps; absent in the version before. */
  passwords: z.number().int().optional(),
  /** Live nodes that have it in their configuration, and those that do not. */
  having: z.array(z.string()),
  lacking: z.array(z.string()),
});
export type NekStatus = z.infer<typeof NekStatus>;

/** A process that holds keys, as the answering node hears it. */
export const Holder = z.object({
  node: z.string(),
  kind: z.enum(['credential-store', 'signer']),
  instance: z.string(),
  revision: z.number().int(),
  /** ms since it was last heard. */
  heard: z.number(),
  /** Its clock minus ours in ms; includes the time that the message took. */
  clock: z.number(),
  /** Why it does not follow the others; absent when it does. */
  behind: z.string().optional(),
  /** Fingerprints of the NEKs in its configuration. */
  neks: z.array(z.string()),
  /** A credential-store that gives records a MAC; absent in the version before. */
  seals: z.boolean().optional(),
  /** Revision of the directory of a credential-store; absent in the version before, which has none. */
  directory: z.number().int().optional(),
});
export type Holder = z.infer<typeof Holder>;

/** A process of policy that holds the directory, as the answering node hears it. */
export const DirectoryHolder = z.object({
  node: z.string(),
  instance: z.string(),
  revision: z.number().int(),
  behind: z.string().optional(),
  neks: z.array(z.string()),
  /** It knows of blocked users; absent in the version before. */
  blocks: z.boolean().optional(),
});
export type DirectoryHolder = z.infer<typeof DirectoryHolder>;

/** What a process announces about itself every second and at every change. */
export const PresentHolder = Holder.omit({ heard: true, clock: true, kind: true }).extend({ time: z.number() });
export type PresentHolder = z.infer<typeof PresentHolder>;
