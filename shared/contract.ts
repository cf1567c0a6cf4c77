import type { z } from 'zod';
import type { ErrorCode } from './error-codes.ts';

/**
 * What a service can be asked and what it announces: the only thing that another service may import from it.
 *
 * An operation has a zod schema of its request and reply and the error codes it may answer with. `bytes` says that
 * the request (or the reply) carries a byte string beside its fields: message bodies and passwords travel there,
 * never as JSON or base64, and are never logged. An event is announced to every listener and may get lost; it
 * carries a revision by which a listener that missed one catches up.
 *
 * Subjects derive from the contract and are spelled nowhere else:
 *   sealpost.v<version>.<service>.<operation>              any instance
 *   sealpost.v<version>.<service>.<operation>.<node>       that node's instance, or that of one process
 *   sealpost.v<version>.<service>.event.<event>
 */
export type OperationSpec = {
  request: z.ZodType;
  reply: z.ZodType;
  /** Codes of the `SealpostError`s that a handler may throw; any other error reaches the caller as `internal`. */
  errors?: readonly ErrorCode[];
  /** Those of `errors` that speak of this instance alone: the call goes on to another one, where there is one. */
  elsewhere?: readonly ErrorCode[];
  /** Which side carries a byte string beside its fields. */
  bytes?: 'request' | 'reply';
  /**
   * Whether being asked twice does harm. `true`: none, so a call that is long without an answer asks another instance
   * too; NATS may drop a request to an instance that has just left. `when-silent`: little, such as a count too many, so
   * another one is asked only where the first is not heard any more.
   */
  repeatable?: true | 'when-silent' | undefined;
  /** Longest time for an answer in milliseconds, where it is not the default 10 s. */
  timeout?: number;
  /**
   * Of what people change, and of secrets and mail that they take out: what a request is about, without secrets, for the audit
   * log. Undefined: the request changes nothing.
   */
  audited?: (request: never) => string | undefined;
};

export type Contract<
  Name extends string = string,
  Operations extends Record<string, OperationSpec> = Record<string, OperationSpec>,
  Events extends Record<string, z.ZodType> = Record<string, z.ZodType>,
> = {
  name: Name;
  version: number;
  operations: Operations;
  events: Events;
  /** The version before, which is spoken beside this one (`cluster/contract-versions.ts`). */
  previous?: {
    contract: Contract;
    operations?: Record<string, unknown>;
    events?: Record<string, unknown>;
  };
};

/** How messages of a version become those of the version before, and back. */
type Conversion<NewIn, NewOut, OldIn, OldOut> = { older(newer: NewOut): OldIn; newer(older: OldOut): NewIn };

/**
 * The version before, and how its messages differ where they do. A request that is asked is what the caller gave, without
 * defaults; one that arrived has been parsed.
 */
export type Previous<
  Operations extends Record<string, OperationSpec>,
  Events extends Record<string, z.ZodType>,
  Old extends Contract,
> = {
  contract: Old;
  operations?: {
    [Op in keyof Operations & keyof Old['operations']]?: {
      request?: Conversion<
        Input<Operations[Op]['request']>,
        Input<Operations[Op]['request']>,
        Input<Old['operations'][Op]['request']>,
        Output<Old['operations'][Op]['request']>
      >;
      reply?: Conversion<
        Input<Operations[Op]['reply']>,
        Output<Operations[Op]['reply']>,
        Input<Old['operations'][Op]['reply']>,
        Output<Old['operations'][Op]['reply']>
      >;
    };
  };
  events?: {
    [Name in keyof Events & keyof Old['events']]?: Conversion<
      Input<Events[Name]>,
      Input<Events[Name]>,
      Input<Old['events'][Name]> & object,
      Output<Old['events'][Name]>
    >;
  };
};

/** What a request is about is said of the very request, as it is when it was parsed. */
type Audits<Operations> = {
  [Op in keyof Operations]: Operations[Op] extends {
    request: infer Request extends z.ZodType;
    audited: (request: infer Audited) => string | undefined;
  }
    ? { audited: z.output<Request> extends Audited ? Operations[Op]['audited'] : never }
    : unknown;
};

/** `previous`: only where the change from the version before is one that its processes would not understand. */
export function defineContract<
  Name extends string,
  Operations extends Record<string, OperationSpec>,
  Events extends Record<string, z.ZodType> = Record<never, z.ZodType>,
  Old extends Contract = Contract,
>(
  name: Name,
  version: number,
  spec: { operations: Operations & Audits<Operations>; events?: Events },
  previous?: Previous<Operations, Events, Old>,
): Contract<Name, Operations, Events> {
  const contract = { name, version, operations: spec.operations, events: spec.events ?? ({} as Events) };
  if (previous === undefined) return contract;
  const { name: oldName, version: oldVersion } = previous.contract;
  if (oldName !== name || oldVersion !== version - 1) {
    throw new Error(`${name} v${version} cannot follow ${oldName} v${oldVersion}`);
  }
  return { ...contract, previous };
}

/** Codes that a call may fail with, whatever the contract says. */
export const CALL_ERRORS = {
  /** Nobody serves the subject. */
  unavailable: 'unavailable',
  /** No answer within the deadline. The operation may or may not have been done. */
  timeout: 'timeout',
  /** The mailbox is full: try another instance or later. */
  busy: 'busy',
  /** The request or the reply does not fit the contract. */
  malformed: 'malformed',
  /** The handler failed in a way it does not declare. */
  internal: 'internal',
  /** The message is larger than the bus carries. */
  tooLarge: 'too-large',
} as const satisfies Record<string, ErrorCode>;

export type CallOptions = {
  /** Byte string that goes with the request, where the operation says `bytes: 'request'`. */
  bytes?: Uint8Array;
  /** Only the instance of this node, or of the process with this id, may answer. */
  node?: string;
  /** Milliseconds until `timeout`. */
  timeout?: number;
  /** Trace id of the mail that this call belongs to; it appears in the log of every service it passes. */
  trace?: string;
};

type Input<S> = S extends z.ZodType ? z.input<S> : never;
type Output<S> = S extends z.ZodType ? z.output<S> : never;

/** What a call resolves to, and what a handler returns: the reply, beside its bytes where the operation has them. */
export type Answer<S extends OperationSpec> = S['bytes'] extends 'reply'
  ? { reply: Output<S['reply']>; bytes: Uint8Array }
  : Output<S['reply']>;

/** A typed caller of one contract. Failures are `SealpostError`s with a declared code or one of `CALL_ERRORS`. */
export type Client<C extends Contract> = {
  readonly [Op in keyof C['operations']]: (
    request: Input<C['operations'][Op]['request']>,
    options?: CallOptions,
  ) => Promise<Answer<C['operations'][Op]>>;
};

/** What a handler knows of the call beside the request. */
export type CallContext = {
  bytes: Uint8Array;
  trace: string | undefined;
  /** Tells callers apart, as far as the bus can; undefined: one of this process. */
  caller?: string | undefined;
};

export type Handlers<C extends Contract> = {
  readonly [Op in keyof C['operations']]: (
    request: Output<C['operations'][Op]['request']>,
    context: CallContext,
  ) => Answer<C['operations'][Op]> | Promise<Answer<C['operations'][Op]>>;
};

export type EventPayload<C extends Contract, Name extends keyof C['events']> = Output<C['events'][Name]>;

/** A running service: its contract, its answers, and its life. Every `services/X/service.ts` makes one. */
export type Service<C extends Contract = Contract> = {
  contract: C;
  handlers: Handlers<C>;
  /** Get ready to answer: open what is owned, catch up. Rejects with a clear error when that is impossible. */
  start(): Promise<void>;
  /** Begin nothing new, and resolve when what needs further calls has ended, soon. Called before the calls end. */
  quiesce?(): Promise<void>;
  /** Finish what is under way, close what is owned. Called once, also after a failed start. */
  stop(): Promise<void>;
};

/** Announce an event. */
export type Announce<C extends Contract> = <Name extends keyof C['events'] & string>(
  name: Name,
  payload: Input<C['events'][Name]>,
) => void;
/** Hear an event, one of `Names`; returns the way to stop listening. */
export type Listen<C extends Contract, Names extends keyof C['events'] & string = keyof C['events'] & string> = <
  Name extends Names,
>(
  name: Name,
  listener: (payload: EventPayload<C, Name>) => void,
) => () => void;

/** The default deadline of a call in milliseconds. */
export const DEFAULT_CALL_TIMEOUT = 10_000;
