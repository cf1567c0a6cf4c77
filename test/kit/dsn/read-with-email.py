"""Reads notices with Python's email package: a JSON list of base64 texts comes in, a JSON list of what was found goes out."""

import base64
import email
import email.policy
import json
import sys


def defects(part):
    inner = part.iter_parts() if part.is_multipart() else []
    return [str(d) for d in part.defects] + [d for p in inner for d in defects(p)]


def report(raw):
    m = email.message_from_bytes(raw, policy=email.policy.default)
    text, status, quoted = m.get_payload()
    return {
        "type": m.get_content_type(),
        "report": m.get_param("report-type"),
        "defects": defects(m) + [str(d) for name in ("Subject", "From", "To") for d in m[name].defects],
        "subject": m["Subject"],
        "to": m["To"].addresses[0].addr_spec,
        "language": text["Content-Language"],
        "text": text.get_content(),
        "parts": [p.get_content_type() for p in (text, status, quoted)],
        "groups": [dict(g.items()) for g in status.get_payload()],
    }


json.dump([report(base64.b64decode(one)) for one in json.load(sys.stdin)], sys.stdout)
