"""Reads notices with Python's email package: a JSON list of base64 texts comes in, a JSON list of what was found goes out."""

import base64
import email
import email.policy
import json
import quopri
import sys


def defects(part):
    inner = part.iter_parts() if part.is_multipart() else []
    return [str(d) for d in part.defects] + [d for p in inner for d in defects(p)]


def groups(status):
    if status.get_content_type() == "message/delivery-status":
        return status.get_payload()
    # The package does not know message/global-delivery-status (RFC 6533), and takes its first group for a header.
    text = status.get_payload(0).as_bytes(policy=email.policy.default.clone(refold_source="none"))
    if status["Content-Transfer-Encoding"] == "quoted-printable":
        text = quopri.decodestring(text)
    return [email.message_from_string(group) for group in text.decode().strip().split("\n\n")]


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
        "groups": [dict(g.items()) for g in groups(status)],
    }


json.dump([report(base64.b64decode(one)) for one in json.load(sys.stdin)], sys.stdout)
