import { signedIn } from './session.ts';

/** Calls of the HTTPS API. Each rejects with an `ApiProblem`, whose message is a sentence to show. */

export class ApiProblem extends Error {
  override name = 'ApiProblem';
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  /** `not-found`, `forbidden`, … as docs/reference/errors.md lists them; `unreachable` where there was no answer. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Undefined, empty and false values are left out; an array is repeated. */
export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

/** `path` is what follows `/api/`; parts that are not literals go through `segment`. */
export function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return call<T>(`${path}${queryText(query)}`, { method: 'GET', signal: signal ?? null });
}

export function post<T>(path: string, body: unknown = {}): Promise<T> {
  return call<T>(path, changing('POST', body));
}

export function put<T>(path: string, body: unknown = {}): Promise<T> {
  return call<T>(path, changing('PUT', body));
}

export function remove<T>(path: string, body: unknown = {}): Promise<T> {
  return call<T>(path, changing('DELETE', body));
}

/** A queue id, domain or address as one segment of a path. */
export const segment = (text: string): string => encodeURIComponent(text);

/** `?a=1&b=x`, or nothing. */
export function queryText(query: Query): string {
  const entries = Object.entries(query).flatMap(([name, value]): [string, string][] => {
    if (value === undefined || value === '' || value === false) return [];
    return typeof value === 'object' ? value.map((one) => [name, one]) : [[name, String(value)]];
  });
  const text = new URLSearchParams(entries).toString();
  return text === '' ? '' : `?${text}`;
}

/** What the server asks of requests that change: other sites can send neither the header nor this type. */
function changing(method: string, body: unknown): RequestInit {
  return {
    method,
    headers: { 'content-type': 'application/json', 'x-sealpost': '1' },
    body: JSON.stringify(body),
  };
}

async function call<T>(path: string, init: RequestInit): Promise<T> {
  const response = await fetch(`/api/${path}`, { ...init, credentials: 'same-origin', cache: 'no-store' }).catch(
    (error: unknown) => {
      if (error instanceof DOMException && error.name === 'AbortError') throw error;
      throw new ApiProblem(0, 'unreachable', 'The console does not answer. Is its node running?');
    },
  );
  const reply: unknown = await response.json().catch(() => undefined);
  if (response.ok) return reply as T;
  const problem = problemOf(response.status, reply);
  // The sign-in form shows its own refusals; elsewhere 401 means that the session is over.
  if (problem.status === 401 && signedIn.value.state === 'in') {
    signedIn.set({ state: 'out', reason: 'Your session has ended. Sign in again to go on where you were.' });
  }
  throw problem;
}

function problemOf(status: number, reply: unknown): ApiProblem {
  const { error } = (reply ?? {}) as { error?: { code?: string; message?: string } };
  return new ApiProblem(
    status,
    error?.code ?? 'http',
    error?.message ?? `The console answered with HTTP status ${status}.`,
  );
}

/** Any error as the sentence that is shown. */
export function problemText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
