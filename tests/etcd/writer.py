#!/usr/bin/python3
"""Writes to an etcd cluster as fast as it is let, and notes what was acknowledged.

    writer.py ADDRESS[,ADDRESS...] CERTIFICATES NOTES

Keys w/0 to w/999 get rising numbers. NOTES is a file of lines "KEY NUMBER SECONDS", written when etcd has said that the
number is there; a question without an answer is asked again at the next member, with the next number."""
import base64
import http.client
import json
import ssl
import sys
import time

addresses = sys.argv[1].split(",")
folder = sys.argv[2]
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
context.load_cert_chain(f"{folder}/peer.crt", f"{folder}/peer.key")


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def connected(number):
    return http.client.HTTPSConnection(addresses[number % len(addresses)], 2379, context=context, timeout=1.5)


at = 0
connection = connected(at)
number = 0
with open(sys.argv[3], "a", encoding="ascii", buffering=1) as notes:
    while True:
        number += 1
        key = number % 1000
        body = json.dumps({"key": encoded(f"w/{key}"), "value": encoded(str(number))})
        try:
            connection.request("POST", "/v3/kv/put", body)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200 and b'"revision"' in text:
                notes.write(f"{key} {number} {time.monotonic():.3f}\n")
                continue
        except (OSError, http.client.HTTPException):
            pass
        connection.close()
        at += 1
        connection = connected(at)
        time.sleep(0.02)
