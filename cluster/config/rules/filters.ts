import type { Problem } from '../problems/problem.ts';
import { FILTER_URLS, parseFilterUrl } from '../schema/filters/url.ts';
import type { Config } from '../schema/schema.ts';
import { duplicates, type Rule } from './rule.ts';

function filterUrls({ filters }: Config): Problem[] {
  return filters.flatMap(({ type, url }, i) => {
    const { schemes, example }: { schemes: readonly string[]; example: string } = FILTER_URLS[type];
    const scheme = parseFilterUrl(url)?.scheme ?? '';
    return schemes.includes(scheme)
      ? []
      : [{ path: ['filters', i, 'url'], message: `${type} does not listen there: write a URL such as ${example}` }];
  });
}

function filterListeners({ filters, listeners }: Config): Problem[] {
  const names = new Set(listeners.map(({ name }) => name));
  return filters.flatMap((filter, i) =>
    (filter.listeners ?? []).flatMap((name, n) =>
      names.has(name)
        ? []
        : [{ path: ['filters', i, 'listeners', n], message: `there is no listener "${name}" in listeners` }],
    ),
  );
}

export const FILTER_RULES: readonly Rule[] = [
  {
    sections: ['filters'],
    check: ({ filters }) =>
      duplicates(
        filters.map(({ name }) => name),
        (i) => ['filters', i, 'name'],
        'filter',
      ),
  },
  { sections: ['filters'], check: filterUrls },
  { sections: ['filters', 'listeners'], check: filterListeners },
];
