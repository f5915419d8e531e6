"""The API server as the programs beside this one ask it."""
import http.client
import json
import ssl
import tempfile
import urllib.parse
from base64 import b64decode

import yaml


def loaded(path):
    with open(path, encoding="utf-8") as file:
        return yaml.load(file, yaml.CSafeLoader)


class Api:
    """The API server that a kubeconfig names, or another one, asked with the kubeconfig's certificate."""

    def __init__(self, path, server=None):
        config = loaded(path)
        by_name = lambda kind, what, name: next(one[what] for one in config[kind] if one["name"] == name)
        context = by_name("contexts", "context", config["current-context"])
        cluster = by_name("clusters", "cluster", context["cluster"])
        user = by_name("users", "user", context["user"])
        self.tls = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        if "client-certificate" in user:
            self.tls.load_cert_chain(user["client-certificate"], user["client-key"])
        else:
            with tempfile.NamedTemporaryFile(dir="/run") as file:
                file.write(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
                file.flush()
                self.tls.load_cert_chain(file.name)
        self.server = urllib.parse.urlsplit(server or cluster["server"])
        self.connection = None

    def ask(self, verb, path, body=None, kind="application/json"):
        """The status and what was answered. Throws OSError and HTTPException."""
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(self.server.hostname, self.server.port or 443, context=self.tls,
                                                          timeout=10)
        try:
            self.connection.request(verb, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise
