import { html } from '/vendor/preact.js';

/** Line icons on a grid of 20. They repeat what a text beside them says, so screen readers skip them. */

const PATHS = {
  overview: 'M3 11a7 7 0 0 1 14 0M10 11l3-4M4 15h12',
  messages: 'M3 5h14v10H3zM3 6l7 5 7-5',
  destinations: 'M4 10h9M10 6l4 4-4 4M17 4v12',
  keys: 'M3.5 13.5a3 3 0 1 0 6 0 3 3 0 1 0-6 0M8.6 11.4 16.5 3.5M13 7l2.5 2.5',
  tls: 'M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9',
  authentication: 'M10 3l6 2v5c0 4-3 6-6 7-3-1-6-3-6-7V5zM7.5 10l2 2 3.5-4',
  people:
    'M7.5 9a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3 16c0-3 2-4.5 4.5-4.5S12 13 12 16M13 9.5a2 2 0 1 0-.5-4M14 12c2 .3 3 1.7 3 4',
  settings: 'M4 6h7M15 6h1M4 10h1M9 10h7M4 14h6M14 14h2M13 4.500v3M7 8.500v3M12 12.500v3',
  send: 'M3 10 17 4l-4 13-3.5-5.5zM9.5 11.500 17 4',
  menu: 'M3 6h14M3 10h14M3 14h14',
  close: 'M5 5l10 10M15 5 5 15',
  check: 'M4 10.500l4 4 8-9',
  warning: 'M10 3l8 14H2zM10 8v4M10 14.500v.01',
  error: 'M10 17.500a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM10 6v5M10 13.800v.01',
  info: 'M10 17.500a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM10 9v5M10 6.200v.01',
  pause: 'M7 5v10M13 5v10',
  waiting: 'M10 17.500a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM10 6v4l3 2',
  minus: 'M5 10h10',
  copy: 'M7 7h9v10H7zM4 13V3h9',
  up: 'M5 12l5-5 5 5',
  down: 'M5 8l5 5 5-5',
  right: 'M8 5l5 5-5 5',
  light:
    'M10 13.500a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10 2v1.500M10 16.500V18M2 10h1.500M16.5 10H18M4.3 4.300l1 1M14.7 14.700l1 1M4.3 15.700l1-1M14.7 5.300l1-1',
  dark: 'M16 12.500A6.5 6.5 0 0 1 7.5 4 6.5 6.5 0 1 0 16 12.500z',
  auto: 'M3 4h14v9H3zM7 17h6M10 13v4',
  leave: 'M8 4H4v12h4M8 10h9M14 7l3 3-3 3',
  search: 'M9 14a5 5 0 1 0 0-10 5 5 0 0 0 0 10zM13 13l4 4',
  refresh: 'M16 10a6 6 0 1 1-2-4.500M16 3v3.500h-3.5',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}

/** The mark: a letter under its seal. */
export function Mark() {
  return html`<svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
    <rect class="mark-letter" x="1.5" y="4.5" width="21" height="15" rx="2.5" />
    <path class="mark-flap" d="M2.5 6.5 12 13l9.5-6.5" />
    <circle class="mark-seal" cx="12" cy="13" r="4.2" />
    <path class="mark-tick" d="M10.2 13.100l1.3 1.3 2.4-2.7" />
  </svg>`;
}
