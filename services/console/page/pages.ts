import type { IconName } from './kit/icon.ts';
import type { PageProps } from './state/router.ts';

/** The pages of the console, in the order of the navigation. */

export type Page = {
  /** Its address, and that of everything below. */
  path: string;
  title: string;
  icon: IconName;
  /** Left out of the navigation of domain administrators, to whom the API gives none of it. */
  wholeCluster?: boolean;
  /** Left out of the navigation of viewers, who change nothing. */
  operators?: boolean;
  load: () => Promise<{ default: (props: PageProps) => unknown }>;
};

export const PAGES: readonly Page[] = [
  { path: '/', title: 'Overview', icon: 'overview', load: () => import('./pages/overview.ts') },
  { path: '/messages', title: 'Messages', icon: 'messages', load: () => import('./pages/messages.ts') },
  { path: '/destinations', title: 'Destinations', icon: 'destinations', load: () => import('./pages/destinations.ts') },
  { path: '/keys', title: 'Keys', icon: 'keys', load: () => import('./pages/keys.ts') },
  { path: '/tls', title: 'TLS', icon: 'tls', load: () => import('./pages/tls.ts') },
  {
    path: '/authentication',
    title: 'Authentication',
    icon: 'authentication',
    load: () => import('./pages/authentication.ts'),
  },
  { path: '/people', title: 'People', icon: 'people', load: () => import('./pages/people.ts') },
  {
    path: '/settings',
    title: 'Settings',
    icon: 'settings',
    wholeCluster: true,
    load: () => import('./pages/settings.ts'),
  },
  { path: '/try', title: 'Try it', icon: 'send', operators: true, load: () => import('./pages/try.ts') },
];

/** The page of an address, and what follows its path; undefined where there is none. */
export function pageOf(path: string): { page: Page; rest: string[] } | undefined {
  const [, name = '', ...rest] = path.split('/');
  const page = PAGES.find((one) => one.path === `/${name}`);
  if (page === undefined || (page.path === '/' && rest.length > 0)) return undefined;
  try {
    return { page, rest: rest.filter((part) => part !== '').map(decodeURIComponent) };
  } catch {
    return undefined;
  }
}
