/**
 * Look-ups by domain where the most specific entry counts: that of the domain itself, else that of its nearest parent.
 */

/** RFC 1035 §2.3.4. What is longer is no domain, and has too many parents to look at. */
const MAX_DOMAIN = 253;

/** `a.b.c`, `b.c`, `c`: a normalized domain and every domain above it, nearest first. */
export function* withParents(domain: string): Generator<string> {
  if (domain.length > MAX_DOMAIN) return;
  for (let name = domain; name !== ''; ) {
    yield name;
    const dot = name.indexOf('.');
    if (dot < 0) return;
    name = name.slice(dot + 1);
  }
}

/**
 * What `entryOf` has for the domain (normalized), else for its nearest parent, by whole labels (DOMINO R1). An entry for
 * `*` is the caller's to add: what it means differs between lists.
 */
export function nearest<T>(domain: string, entryOf: (name: string) => T | undefined): T | undefined {
  for (const name of withParents(domain)) {
    const entry = entryOf(name);
    if (entry !== undefined) return entry;
  }
  return undefined;
}
