"""tokens - a token server as registries name it in WWW-Authenticate, on a thread of the test's process.

    server.realm      the address that the registry names
    server.asked      list of Asked(method, user, scopes, status, grant), one per request, in order
    server.lifetime   seconds until the registry refuses a token (300)
    server.says       what expires_in says in place of it, for tokens that end too early
    server.refuse     a status to answer with in place of a token

Its tokens are JWTs with RS256, signed by the openssl program with the lab's token.key."""
import base64
import json
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD = "alice", "secret: word"
IDENTITY = "identity-token-of-alice"
LEEWAY = 60  # docker-registry takes a token as long after its end
Asked = namedtuple("Asked", "method user scopes status grant")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Server:
    def __init__(self, certs, tls, identity=False):
        self.certs, self.identity = certs, identity
        self.asked, self.lifetime, self.says, self.refuse = [], 300, None, None
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            name = "ca-server" if tls in ("ca", "client") else tls
            context.load_cert_chain(certs(f"{name}.crt"), certs(f"{name}.key"))
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.realm = f"{'https' if tls else 'http'}://localhost:{self.http.server_port}/token"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def end(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def forget(self):
        self.asked.clear()
        self.lifetime, self.says, self.refuse = 300, None, None

    def token(self, user, service, scopes):
        now = int(time.time())
        with open(self.certs("token.crt"), encoding="ascii") as f:
            der = "".join(f.read().split("-----")[2].split())
        access = []
        for scope in scopes:
            kind, rest = scope.split(":", 1)
            name, actions = rest.rsplit(":", 1)
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        header = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        claims = {"iss": "rootlet tests", "sub": user, "aud": service, "iat": now, "nbf": now - 600,
                  "exp": now + self.lifetime - LEEWAY, "jti": str(time.monotonic_ns()), "access": access}
        text = b64(json.dumps(header).encode()) + b"." + b64(json.dumps(claims).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.certs("token.key"))], input=text,
                                   capture_output=True, check=True).stdout
        return (text + b"." + b64(signature)).decode()

    def answer(self, user, service, scopes, offline):
        word = self.token(user, service, scopes)
        made = {"token": word, "access_token": word, "expires_in": self.says or self.lifetime,
                "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        if self.identity and offline:
            made["refresh_token"] = IDENTITY
        return made

    def _handler(server):  # pylint: disable=no-self-argument
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _reply(self, status, document, user, scopes, grant=None):
                server.asked.append(Asked(self.command, user, scopes, status, grant))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _basic(self):
                """(user or None, whether what was said is right)"""
                word = self.headers.get("Authorization", "")
                if not word.startswith("Basic "):
                    return None, False
                user, _, password = base64.b64decode(word[6:]).decode().partition(":")
                return user, (user, password) == (USER, PASSWORD)

            def _token(self, user, right, query, grant=None):
                scopes = [s for words in query.get("scope", []) for s in words.split()]
                if server.refuse:
                    self._reply(server.refuse, {"errors": [{"code": "DENIED", "message": "no"}]}, user, scopes, grant)
                elif not right:
                    self._reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}, user, scopes,
                                grant)
                else:
                    offline = "true" in query.get("offline_token", ()) or "offline" in query.get("access_type", ())
                    service = query.get("service", [""])[0]
                    self._reply(200, server.answer(user, service, scopes, offline), user, scopes, grant)

            def do_GET(self):
                user, right = self._basic()
                self._token(user, right, urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query))

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                grant = form.get("grant_type", [None])[0]
                if grant == "refresh_token":
                    self._token(None, form.get("refresh_token") == [IDENTITY], form, grant)
                else:
                    user = form.get("username", [None])[0]
                    self._token(user, (user, form.get("password")) == (USER, [PASSWORD]), form, grant)

            def log_message(self, *_args):  # pylint: disable=arguments-differ
                pass
        return Handler
