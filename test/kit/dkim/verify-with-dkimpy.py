"""Verify every DKIM-Signature of each message with dkimpy.

Usage: verify-with-dkimpy.py keys.json message...
keys.json maps names (s1._domainkey.example.com) to TXT values. Prints one JSON object: file name to a list of
verdicts, one a signature in the order of the message.
"""

import json
import sys

import dkim

with open(sys.argv[1]) as file:
    KEYS = json.load(file)


def txt(name, timeout=5):
    text = KEYS.get(name.decode().rstrip("."))
    return None if text is None else text.encode()


def verdict(message, index):
    try:
        return "pass" if dkim.DKIM(message).verify(idx=index, dnsfunc=txt) else "fail"
    except dkim.DKIMException as error:
        return f"error: {error}"


verdicts = {}
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        message = file.read()
    header = message.split(b"\r\n\r\n", 1)[0].lower()
    count = (b"\r\n" + header).count(b"\r\ndkim-signature:")
    verdicts[path] = [verdict(message, i) for i in range(count)]
print(json.dumps(verdicts))
