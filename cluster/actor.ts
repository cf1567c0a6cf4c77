import type { z } from 'zod';
import {
  type Announce,
  CALL_ERRORS,
  type CallContext,
  type CallOptions,
  type Client,
  type Contract,
  DEFAULT_CALL_TIMEOUT,
  type Listen,
  type OperationSpec,
  type Service,
} from '#shared/contract.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import type { Bus, BusReply, BusRequest } from './bus/bus.ts';
import { madeOf, servedOf } from './call-counts.ts';
import { olderEvent, olderOperation, olderService } from './contract-versions.ts';
import { Mailbox } from './mailbox.ts';

/**
 * Serves and calls contracts: parse → handle → parse, with a deadline, mapped errors and a bounded mailbox.
 *
 * A mailbox holds the requests that were taken and not yet answered. A full one, by count or by bytes, answers
 * `busy` immediately. A request that does not fit its schema is answered `malformed` and logged; it never reaches the
 * handler and stops nothing. A handler that throws a declared code answers with it; any other error is logged with
 * its stack and answered `internal`. The same rules hold on every bus, because every bus only moves what this file
 * made. Where a contract names the version before, both are spoken (`contract-versions.ts`).
 */

const NO_BYTES = new Uint8Array(0);

export type Actor = { close(): void };

/** A change that somebody asked for, and how that ended: `done`, or the code of an error. */
export type AuditChange = (change: {
  by: string;
  service: string;
  operation: string;
  about: string;
  outcome: string;
}) => Promise<void>;

export type ServeOptions = {
  /** Requests that are taken and not answered yet, at most. */
  mailbox?: number | undefined;
  /** Told of every change before it is answered. */
  audit?: AuditChange | undefined;
};

/** Serve every operation of a service on a bus, in each of its versions; they share one mailbox. */
export function serve<C extends Contract>(
  bus: Bus,
  service: Service<C>,
  log: Logger,
  { mailbox, audit }: ServeOptions = {},
): Actor {
  const inbox = new Mailbox(mailbox);
  const rubbish = new LimitedLog();
  const older = olderService(service as unknown as Service);
  const all = [service, ...(older === undefined ? [] : [older])].flatMap(({ contract, handlers }) =>
    Object.entries(contract.operations).map(([operation, spec]) => {
      const handler = (handlers as Record<string, Handler | undefined>)[operation];
      if (handler === undefined) throw new Error(`${contract.name} has no handler for ${operation}`);
      return { contract, operation, spec, handler };
    }),
  );
  const registrations = all.map(({ contract, operation, spec, handler }) => {
    const label = `${contract.name}.${operation}`;
    const counts = servedOf(contract.name, operation);
    const served = { label, spec, handler };
    const isAudited = audit !== undefined && spec.audited !== undefined;
    return bus.serve({ service: contract.name, version: contract.version, operation }, async (request) => {
      const begun = performance.now();
      const full = inbox.enter(request);
      if (full !== undefined) {
        return { ok: false, code: CALL_ERRORS.busy, message: `${contract.name} has ${full}`, elsewhere: true };
      }
      try {
        const noting = isAudited
          ? { ...served, handler: audited(contract, operation, handler, request, audit) }
          : served;
        return await handle(noting, request, log, rubbish);
      } finally {
        inbox.leave(request);
        counts.took(performance.now() - begun);
      }
    });
  });
  return {
    close() {
      for (const stop of registrations) stop();
      rubbish.close();
    },
  };
}

type Handler = (request: unknown, context: CallContext) => unknown;

/** The handler, which has changes noted before it answers. */
function audited(
  { name: service, operations }: Contract,
  operation: string,
  handler: Handler,
  { by, caller }: BusRequest,
  audit: AuditChange | undefined,
): Handler {
  const about = operations[operation]?.audited as ((request: unknown) => string | undefined) | undefined;
  if (about === undefined || audit === undefined) return handler;
  return async (request, context) => {
    let outcome: string = CALL_ERRORS.internal;
    try {
      const answer = await handler(request, context);
      outcome = 'done';
      return answer;
    } catch (error) {
      outcome = errorCode(error) ?? outcome;
      throw error;
    } finally {
      const text = about(request);
      const who = by ?? caller ?? 'a process of this node';
      if (text !== undefined) await audit({ by: who, service, operation, about: text, outcome });
    }
  };
}

type ServedOperation = { label: string; spec: OperationSpec; handler: Handler };

async function handle(
  { label, spec, handler }: ServedOperation,
  request: BusRequest,
  log: Logger,
  rubbish: LimitedLog,
): Promise<BusReply> {
  const parsed = spec.request.safeParse(request.fields);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((i) => `${i.path.join('.') || 'request'}: ${i.message}`).join('; ');
    rubbish.say(`${label} ${request.caller}`, (repeated) =>
      log.warn({ operation: label, trace: request.trace, error: problems, ...repeated }, 'malformed request refused'),
    );
    return { ok: false, code: CALL_ERRORS.malformed, message: `${label}: ${problems}` };
  }
  try {
    const { bytes = NO_BYTES, trace, caller } = request;
    const answer = await handler(parsed.data, { bytes, trace, caller });
    return spec.bytes === 'reply'
      ? { ok: true, fields: (answer as { reply: unknown }).reply, bytes: (answer as { bytes: Uint8Array }).bytes }
      : { ok: true, fields: answer };
  } catch (error) {
    if (error instanceof SealpostError && isDeclared(spec, error.code)) {
      const elsewhere = error.code === CALL_ERRORS.unavailable || spec.elsewhere?.includes(error.code) === true;
      return { ok: false, code: error.code, message: errorText(error), ...(elsewhere ? { elsewhere } : {}) };
    }
    const code = error instanceof SealpostError ? ` with ${error.code}, which its contract does not declare` : '';
    log.error({ operation: label, trace: request.trace, err: error }, `${label} failed${code}: please report this bug`);
    return { ok: false, code: CALL_ERRORS.internal, message: `${label} failed: ${errorText(error)}` };
  }
}

/** Whether an operation may answer with this code: its contract declares it, or any call may fail with it. */
export function isDeclared({ errors = [] }: OperationSpec, code: ErrorCode): boolean {
  return errors.includes(code) || (Object.values(CALL_ERRORS) as ErrorCode[]).includes(code);
}

/** A typed caller of a contract over a bus. */
export function client<C extends Contract>(bus: Pick<Bus, 'call'>, contract: C): Client<C> {
  const methods: Record<string, Method> = {};
  for (const [operation, spec] of Object.entries(contract.operations)) {
    const method = caller(bus, contract, operation, spec);
    const older = olderOperation(contract, operation);
    if (older === undefined) {
      methods[operation] = method;
      continue;
    }
    const before = caller(bus, older.contract, operation, older.spec);
    methods[operation] = async (fields, options) => {
      try {
        return await method(fields, options);
      } catch (error) {
        if (!isForAnother(error, spec)) throw error;
        const answer = await before(older.request(fields), options).catch((second: unknown) => {
          throw errorCode(second) === CALL_ERRORS.unavailable ? error : second;
        });
        return older.answer(answer);
      }
    };
  }
  return methods as Client<C>;
}

type Method = (fields: unknown, options?: CallOptions) => Promise<unknown>;

/** Whether the instances that were asked did nothing, for reasons of their own. */
function isForAnother(error: unknown, { elsewhere = [] }: OperationSpec): boolean {
  if (!(error instanceof SealpostError)) return false;
  const { code } = error;
  return code === CALL_ERRORS.unavailable || code === CALL_ERRORS.busy || elsewhere.includes(code);
}

/** Calls an operation in one version. */
function caller(bus: Pick<Bus, 'call'>, contract: Contract, operation: string, spec: OperationSpec): Method {
  const address = { service: contract.name, version: contract.version, operation };
  const counts = madeOf(contract.name, operation);
  return async (fields, options = {}) => {
    const timeout = options.timeout ?? spec.timeout ?? DEFAULT_CALL_TIMEOUT;
    const { bytes, trace, node } = options;
    const request = { fields, bytes, trace, timeout, repeatable: spec.repeatable };
    let answer: BusReply;
    try {
      answer = await bus.call(address, request, node);
    } catch (error) {
      counts.fail(errorCode(error));
      throw error;
    }
    if (answer.ok) counts.ok++;
    else counts.fail(answer.code);
    // A node of a newer version may know a code that this one does not: it is handed on as it came.
    if (!answer.ok) throw new SealpostError(answer.code as ErrorCode, answer.message);
    const reply = spec.reply.safeParse(answer.fields);
    if (!reply.success) {
      throw new SealpostError(
        CALL_ERRORS.malformed,
        `reply of ${contract.name}.${operation} does not fit its contract: ${reply.error.message}`,
      );
    }
    return spec.bytes === 'reply' ? { reply: reply.data, bytes: answer.bytes ?? NO_BYTES } : reply.data;
  };
}

/** The announcer of a contract's events. */
export function announcer<C extends Contract>(bus: Bus, contract: C): Announce<C> {
  return (name, payload) => {
    bus.publish(contract.name, contract.version, name, payload);
    const older = olderEvent(contract, name);
    if (older !== undefined) bus.publish(contract.name, older.contract.version, name, older.payload(payload));
  };
}

/** The listener to a contract's events; a payload that does not fit is logged and dropped. */
export function listen<C extends Contract>(bus: Bus, contract: C, log: Logger): Listen<C> {
  const rubbish = new LimitedLog();
  return (name, listener) => {
    const schema = contract.events[name];
    if (schema === undefined) throw new Error(`${contract.name} has no event ${name}`);
    const event = `${contract.name}.${name}`;
    const hear = (payload: unknown, convert?: (older: unknown) => unknown): void => {
      try {
        const data = parseEvent(event, schema, convert === undefined ? payload : convert(payload), log, rubbish);
        if (data !== undefined) listener(data as never);
      } catch (error) {
        log.error({ event, err: error }, 'event listener failed');
      }
    };
    const stop = bus.subscribe(contract.name, contract.version, name, (payload) => hear(payload));
    const older = olderEvent(contract, name);
    if (older === undefined) return stop;
    const before = older.contract.events[name];
    const stopOlder = bus.subscribe(contract.name, older.contract.version, name, (payload) => {
      if (before === undefined || older.isCopy(payload)) return;
      const data = parseEvent(event, before, payload, log, rubbish);
      if (data !== undefined) hear(data, older.newer);
    });
    return () => {
      stop();
      stopOlder();
    };
  };
}

/** The payload as its schema has it; undefined, and a line in the log, where it does not fit. */
function parseEvent(event: string, schema: z.ZodType, payload: unknown, log: Logger, rubbish: LimitedLog): unknown {
  const parsed = schema.safeParse(payload);
  if (parsed.success) return parsed.data;
  const error = parsed.error.message;
  rubbish.say(event, (repeated) => log.warn({ event, error, ...repeated }, 'malformed event dropped'));
  return undefined;
}
