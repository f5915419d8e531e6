#!/usr/bin/python3
"""Creates objects at the API for as long as it runs, and notes those whose creation was acknowledged.

    writer.py KUBECONFIG NOTES

NOTES is a file of lines "NAME SECONDS". A name is used once: what was not acknowledged may be there or not."""
import base64
import http.client
import json
import ssl
import sys
import tempfile
import time
import urllib.parse

import yaml

A_SECOND = 20  # at most so many objects

with open(sys.argv[1], encoding="utf-8") as file:
    config = yaml.safe_load(file)
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
with tempfile.NamedTemporaryFile() as file:
    file.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
    file.flush()
    context.load_cert_chain(file.name)
server = urllib.parse.urlsplit(cluster["server"])

begun = int(time.time())
connection = None
number = 0
with open(sys.argv[2], "a", encoding="ascii", buffering=1) as notes:
    while True:
        time.sleep(1 / A_SECOND)
        number += 1
        name = f"written-{begun}-{number}"
        body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        try:
            if connection is None:
                connection = http.client.HTTPSConnection(server.hostname, server.port, context=context, timeout=3)
            connection.request("POST", "/api/v1/namespaces/default/configmaps", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 201:
                notes.write(f"{name} {time.monotonic():.3f}\n")
        except (OSError, http.client.HTTPException):
            connection.close()
            connection = None
