/**
 * The process that started this one, as it was before anything else was loaded: where it has ended since, `process.ppid`
 * names another. `sealpost.js` loads this file first.
 */
export const PARENT: number = process.ppid;
