"""What may stand before an index: TLS, a password, a company's proxy.

front.py LOG UPSTREAM [--tls CERTIFICATE KEY] [--password USER:PASSWORD] [--proxy-password USER:PASSWORD]

Serves on a free port of 127.0.0.1, which it prints, and writes a line of JSON to LOG for each request. Requests
in absolute form, as proxies get them, go to UPSTREAM too, whatever host they name.
"""

import base64
import http.client
import http.server
import json
import ssl
import sys
from urllib.parse import urlsplit

log, upstream, *options = sys.argv[1:]
upstream = urlsplit(upstream)


def option(name, count=1):
    if name not in options:
        return None
    at = options.index(name) + 1
    return options[at] if count == 1 else options[at : at + count]


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode() if text else None


password, proxy_password = basic(option("--password")), basic(option("--proxy-password"))


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with open(log, "a") as file:
            file.write(json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n")
        if proxy_password and self.headers.get("Proxy-Authorization") != proxy_password:
            return self.answer(407, {}, b"who are you?")
        if password and self.headers.get("Authorization") != password:
            return self.answer(401, {"WWW-Authenticate": 'Basic realm="index"'}, b"who are you?")
        url = urlsplit(self.path)
        path = url.path + ("?" + url.query if url.query else "")
        connection = http.client.HTTPConnection(upstream.hostname, upstream.port)
        passed = ("accept", "range", "if-none-match", "accept-encoding", "user-agent")
        connection.request(
            self.command, path, headers={k: v for k, v in self.headers.items() if k.lower() in passed}
        )
        answer = connection.getresponse()
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection", "content-length", "date")}
        self.answer(answer.status, headers, answer.read())

    do_HEAD = do_GET

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
if tls := option("--tls", 2):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
