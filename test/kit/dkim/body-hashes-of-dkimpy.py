"""Hash bodies as dkimpy does.

Usage: body-hashes-of-dkimpy.py < bodies.json
Reads a list of [body, canonicalization, length] from standard input, the body in base64 and the length null where there is
no l=. Prints a list of base64 SHA-256 hashes.
"""

import base64
import hashlib
import json
import sys

from dkim.canonicalization import Relaxed, Simple

ALGORITHMS = {"simple": Simple, "relaxed": Relaxed}


def body_hash(body, canonicalization, length):
    canonical = ALGORITHMS[canonicalization].canonicalize_body(base64.b64decode(body))
    return base64.b64encode(hashlib.sha256(canonical[:length]).digest()).decode()


print(json.dumps([body_hash(*row) for row in json.load(sys.stdin)]))
