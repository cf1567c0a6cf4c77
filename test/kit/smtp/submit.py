"""Submits messages with smtplib, as the JSON on standard input says; the replies to their recipients come out as JSON."""

import json
import smtplib
import sys

asked = json.load(sys.stdin)
replies = []
with smtplib.SMTP("127.0.0.1", asked["port"], timeout=30) as server:
    server.ehlo()
    server.login(asked["user"], asked["password"])
    for mail in asked["messages"]:
        # smtplib writes a path that is not ASCII only when it is told so.
        server.command_encoding = "utf-8" if "SMTPUTF8" in mail["options"] else "ascii"
        code, text = server.mail(mail["from"], mail["options"])
        if code != 250:
            raise SystemExit(f"MAIL: {code} {text}")
        replies.append([server.rcpt(to, options)[0] for to, options in mail["recipients"]])
        code, text = server.data(mail["text"].encode())
        if code != 250:
            raise SystemExit(f"DATA: {code} {text}")
json.dump(replies, sys.stdout)
