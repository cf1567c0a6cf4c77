/** Runs before anything is painted, as a script of its own and not as a module: the theme, which state/theme.ts follows later. */
document.documentElement.dataset['theme'] =
  localStorage.getItem('sealpost-theme') ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
