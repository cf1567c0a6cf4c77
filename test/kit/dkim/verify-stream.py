"""Verify messages with dkimpy as they come, with keys as DNS has them at that moment.

Usage: verify-stream.py address:port...
Standard input: frames of four bytes of length, big-endian, and that many bytes of a message. For each, in order, one
JSON line: the verdicts on its signatures (`pass s1`, `fail s1`, `error s1: …`). Every look-up asks one of the given
authoritative servers at random, and nothing is cached.
"""

import json
import random
import struct
import sys

import dkim
import dns.message
import dns.query
import dns.rdatatype

SERVERS = [(address, int(port)) for address, port in (server.rsplit(":", 1) for server in sys.argv[1:])]


def ask(name):
    address, port = random.choice(SERVERS)
    query = dns.message.make_query(name, dns.rdatatype.TXT)
    answer, _ = dns.query.udp_with_fallback(query, address, timeout=5, port=port)
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.TXT:
            return b"".join(rrset[0].strings)
    return None


def txt(name, timeout=5):
    return ask(name.decode().rstrip(".") + ".")


def verdict(message, index, selector):
    try:
        return ("pass " if dkim.DKIM(message).verify(idx=index, dnsfunc=txt) else "fail ") + selector
    except Exception as error:  # every failure is a verdict, whatever kind it is
        return f"error {selector}: {error!r}"


def selectors(message):
    fields, found = message.split(b"\r\n\r\n", 1)[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n"), []
    for field in fields:
        if field.lower().startswith(b"dkim-signature:"):
            tags = dict(tag.strip().split(b"=", 1) for tag in field.split(b":", 1)[1].split(b";") if b"=" in tag)
            found.append(tags.get(b"s", b"?").decode())
    return found


while True:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        break
    message = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
    names = selectors(message)
    print(json.dumps([verdict(message, i, name) for i, name in enumerate(names)]), flush=True)
