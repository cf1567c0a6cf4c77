import { createServer } from 'node:http';
import { Tally } from './tally.ts';

/**
 * A sink for mail on port 2526 in a container of its own. To whoever asks by HTTP on port 2580 it says what has come:
 * ids with how often, and numbers of signature fields with how many messages.
 */
const sink = await Tally.start(2526, '0.0.0.0');
createServer((_request, response) => {
  response.end(JSON.stringify({ arrivals: [...sink.arrivals], signatures: [...sink.signatures] }));
}).listen(2580, '0.0.0.0');
