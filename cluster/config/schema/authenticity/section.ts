import { z } from 'zod';
import { junkSection } from './actions.ts';

/** The section `authenticity`: whether mail is from whom it says, and what follows from that. */

export const authenticitySection = z
  .strictObject({
    junk: junkSection,
  })
  .prefault({});
