import { z } from 'zod';
import { listedMailbox } from '../values.ts';

/** What is done with mail from outside, by what was found out about it. */

export const junkSection = z
  .strictObject({
    except: z
      .array(listedMailbox)
      .prefault([])
      .describe(
        'recipients whose mail goes to the mailbox though it is marked as junk: addresses, those of groups with their members, domains with everything below them; "*": all',
      ),
  })
  .prefault({});
