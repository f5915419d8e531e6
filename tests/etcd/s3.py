#!/usr/bin/python3
"""Stands for a store that speaks S3: takes objects into a folder, in path style, and only with a right signature.

The signature is computed here from the request as it came, after "Authenticating Requests: Using the Authorization
Header (AWS Signature Version 4)" of Amazon's S3 reference; nothing of it is taken from the client but what is signed.
Arguments: ADDRESS PORT FOLDER ACCESS_KEY SECRET_KEY REGION."""
import calendar
import hashlib
import hmac
import http.server
import os
import re
import sys
import time
import urllib.parse

ADDRESS, PORT, FOLDER, ACCESS_KEY, SECRET_KEY, REGION = sys.argv[1:7]
FORM = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?"
                  r"Signature=([0-9a-f]{64})")


def keyed(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def refusal(self, body):
        """Why the request is not signed as it has to be; empty if it is."""
        found = FORM.fullmatch(self.headers.get("Authorization", ""))
        if not found:
            return "no signature of version 4"
        access_key, day, region, names, signature = found.groups()
        moment = self.headers.get("x-amz-date", "")
        if not re.fullmatch(r"\d{8}T\d{6}Z", moment) or moment[:8] != day:
            return "no date, or another than the signature's"
        if abs(time.time() - calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ"))) > 900:
            return "signed at another time"
        if access_key != ACCESS_KEY or region != REGION:
            return "another key or region"
        signed = names.split(";")
        if signed != sorted(signed) or not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed):
            return "host, date and content are to be signed"
        if self.headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
            return "another content than the signed one"
        path = urllib.parse.urlsplit(self.path)
        headers = "".join(f"{name}:{' '.join(self.headers.get(name, '').split())}\n" for name in signed)
        canonical = "\n".join([self.command, urllib.parse.quote(urllib.parse.unquote(path.path)), path.query, headers,
                               names, self.headers["x-amz-content-sha256"]])
        scope = f"{day}/{region}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + SECRET_KEY).encode()
        for part in (day, region, "s3", "aws4_request"):
            key = keyed(key, part)
        right = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        return "" if hmac.compare_digest(right, signature) else "SignatureDoesNotMatch"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refusal = self.refusal(body)
        if not refusal:
            path = os.path.normpath(FOLDER + "/" + urllib.parse.unquote(urllib.parse.urlsplit(self.path).path))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(body)
        answer = refusal.encode()
        self.send_response(403 if refusal else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        print(self.command, self.path, refusal or "stored", flush=True)


http.server.ThreadingHTTPServer((ADDRESS, int(PORT)), Store).serve_forever()
