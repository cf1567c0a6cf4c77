/** What the module at /vendor/preact.js exports: elements, hooks, and templates that make elements. */

export { html } from 'htm/preact';
export * from 'preact';
export {
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useId,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from 'preact/hooks';
