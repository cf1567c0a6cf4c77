import { createServer } from 'node:http';
import { Tally } from './tally.ts';

/**
 * A sink for mail on port 2526 in a container of its own. By HTTP on port 2580 it answers what has come: each id with
 * how often, and each number of signature fields with how many messages.
 */
const sink = await Tally.start(2526, '0.0.0.0');
createServer((_request, response) => {
  response.end(JSON.stringify({ arrivals: [...sink.arrivals], signatures: [...sink.signatures] }));
}).listen(2580, '0.0.0.0');
