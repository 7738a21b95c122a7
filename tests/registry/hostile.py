"""hostile - a registry that plays one fault for each name: http://ADDRESS/v2/FAULT/x/...

    h = Hostile()
    h.ref("endless-blob")           "127.0.0.1:PORT/endless-blob/x:1", an image of one layer
    h.layer, h.config, h.manifest   its honest parts: .digest .data
    h.seen                          every request: .method .path .headers (names in lower case)

What a fault does stands in FAULTS: a function of the request, which answers (and returns something true) or leaves it
to the honest registry."""
import base64
import hashlib
import json
import re
import socket
import threading
from collections import namedtuple

Request = namedtuple("Request", "method path headers kind what fault sock server count")
Part = namedtuple("Part", "digest data")
OCI = "application/vnd.oci.image."
FAULTS = {}
LAYER_SIZE = 300_000


def part(data):
    return Part("sha256:" + hashlib.sha256(data).hexdigest(), data)


def fault(function):
    FAULTS[function.__name__.replace("_", "-")] = function
    return function


def head(status, **headers):
    lines = [f"HTTP/1.1 {status} X"] + [f"{k.replace('_', '-')}: {v}" for k, v in headers.items() if v is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(q, status, body=b"", declared=None, **headers):
    headers.setdefault("Content_Length", len(body) if declared is None else declared)
    q.sock.sendall(head(status, **headers) + (b"" if q.method == "HEAD" else body))
    return True


class Hostile:
    """Serves until end(). Threads, as a client has several connections."""

    def __init__(self, layer=None, config=None, peer=None, tls=None):
        self.layer = part(layer or hashlib.sha512(b"x").digest() * (LAYER_SIZE // 64))
        self.config = part(config or b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
        self.peer = peer  # another one, for redirects
        self.tls = tls  # an ssl.SSLContext
        self.seen, self.counts, self.uploaded = [], {}, {}
        self.lock = threading.Lock()
        self.manifest = part(json.dumps({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": self.descriptor(self.config, "config.v1+json"),
            "layers": [self.descriptor(self.layer, "layer.v1.tar+gzip")]}).encode())
        self.stopped = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def descriptor(p, kind):
        return {"mediaType": OCI + kind, "digest": p.digest, "size": len(p.data)}

    def ref(self, name):
        return f"{self.address}/{name}/x:1"

    def end(self):
        self.stopped.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def requests(self, kind=None, name=None):
        return [q for q in self.seen if (kind is None or q.kind == kind) and (name is None or q.fault == name)]

    def _accept(self):
        while not self.stopped.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        if self.tls:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                return
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = sock.makefile("rb")
            try:
                if reader.peek(1)[:1] == b"\x16":  # somebody tries TLS first
                    return
                while self._one(sock, reader):
                    pass
            except (OSError, ValueError):
                pass

    def _one(self, sock, reader):
        line = reader.readline(65536).decode("latin-1").split()
        if len(line) != 3:
            return False
        headers = {}
        while (text := reader.readline(65536).decode("latin-1").strip()):
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        q = self._request(line[0], line[1], headers, sock)
        with self.lock:
            self.seen.append(q)
        if q.kind == "uploads":
            return upload(q, reader)
        if "content-length" in headers:
            reader.read(int(headers["content-length"]))
        if q.fault in FAULTS and FAULTS[q.fault](q):
            return True
        return self._honest(q)

    def _request(self, method, path, headers, sock):
        m = re.match(r"/v2/([^/]+)/x/(manifests|blobs|tags|referrers)/?(.*)", path)
        name, kind, what = m.groups() if m else ("", "ping" if path == "/v2/" else "other", path)
        if not m and path.startswith("/token/"):
            name, kind = path.split("/")[2].split("?")[0], "token"
        if kind == "blobs" and what.startswith("uploads/"):
            kind = "uploads"
        elif kind == "blobs":
            kind = "config" if what == self.config.digest else "layer"
        with self.lock:
            n = self.counts[name, kind] = self.counts.get((name, kind), 0) + 1
        return Request(method, path, headers, kind, what, name, sock, self, n)

    def body(self, q):
        return {"manifests": self.manifest, "config": self.config, "layer": self.layer}[q.kind].data

    def _honest(self, q):
        if q.kind == "ping":
            return answer(q, 200, b"{}", Content_Type="application/json")
        if q.kind == "tags":
            return answer(q, 200, b'{"name":"x","tags":["1"]}', Content_Type="application/json")
        if q.kind in ("manifests", "config", "layer"):
            return partial(q, self.body(q))
        return answer(q, 404, b'{"errors":[{"code":"X","message":"nothing here"}]}', Content_Type="application/json")


def offset(q):
    m = re.match(r"bytes=(\d+)-", q.headers.get("range", ""))
    return int(m.group(1)) if m else 0


def partial(q, data, stop=None):
    """Honest: the whole, or from a range on; stop: cut after so many bytes of it."""
    at = offset(q)
    kind = OCI + "manifest.v1+json" if q.kind == "manifests" else "application/octet-stream"
    status = 206 if at else 200
    rng = f"bytes {at}-{len(data) - 1}/{len(data)}" if at else None
    q.sock.sendall(head(status, Content_Length=len(data) - at, Content_Type=kind, Content_Range=rng))
    if q.method == "HEAD":
        return True
    q.sock.sendall(data[at:] if stop is None else data[at:at + stop])
    if stop is not None:
        q.sock.shutdown(socket.SHUT_RDWR)
    return True


def endless(q, first, more=b"x" * 65536):
    q.sock.sendall(first)
    while not q.server.stopped.is_set():
        q.sock.sendall(more)


# Bytes

@fault
def wrong_bytes(q):
    return q.kind == "layer" and answer(q, 200, b"y" * len(q.server.layer.data))


@fault
def shorter(q):
    return q.kind == "layer" and answer(q, 200, q.server.layer.data[:-1])


@fault
def longer(q):
    return q.kind == "layer" and answer(q, 200, q.server.layer.data + b"x")


@fault
def longer_chunked(q):
    data = q.server.layer.data + b"x"
    if q.kind == "layer":
        q.sock.sendall(head(200, Transfer_Encoding="chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
    return q.kind == "layer"


@fault
def endless_blob(q):
    return q.kind == "layer" and endless(q, head(200), q.server.layer.data)


@fault
def endless_config(q):
    return q.kind == "config" and endless(q, head(200))


@fault
def endless_manifest(q):
    return q.kind == "manifests" and endless(q, head(200, Content_Type=OCI + "manifest.v1+json"))


@fault
def huge_manifest(q):
    return q.kind == "manifests" and answer(q, 200, b"", declared=1 << 40)


@fault
def endless_header(q):
    return q.kind == "manifests" and endless(q, b"HTTP/1.1 200 OK\r\n", b"X-Junk: " + b"x" * 500 + b"\r\n")


@fault
def endless_header_line(q):
    return q.kind == "manifests" and endless(q, b"HTTP/1.1 200 OK\r\nX-Junk: ")


@fault
def endless_informational(q):
    return q.kind == "manifests" and endless(q, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


@fault
def endless_error(q):
    return q.kind == "manifests" and endless(q, head(404, Content_Type="application/json"))


@fault
def wrong_digest_header(q):
    return q.kind == "manifests" and answer(q, 200, q.server.manifest.data, Content_Type=OCI + "manifest.v1+json",
                                            Docker_Content_Digest="sha256:" + "0" * 64)


@fault
def other_manifest(q):
    return q.kind == "manifests" and answer(q, 200, b"{}", Content_Type=OCI + "manifest.v1+json")


@fault
def bad_length(q):
    return q.kind == "layer" and answer(q, 200, b"", declared="-5")


@fault
def no_http(q):
    if q.kind == "manifests":
        q.sock.sendall(b"220 mail.example ESMTP\r\n")
        q.sock.shutdown(socket.SHUT_RDWR)
    return q.kind == "manifests"


@fault
def web_page(q):
    return q.kind == "manifests" and answer(q, 200, b"<html>log in</html>", Content_Type="text/html; charset=utf-8")


@fault
def web_page_blob(q):
    return q.kind == "layer" and answer(q, 200, b"<html>log in</html>", Content_Type="text/html")


@fault
def nasty_message(q):
    text = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b[2Jno\nError: faked \u009b1m" + "x" * 5000}]})
    return q.kind == "manifests" and answer(q, 403, text.encode(), Content_Type="application/json")


# Time and cuts

@fault
def stall(q):
    if q.kind == "layer":
        q.sock.sendall(head(200, Content_Length=len(q.server.layer.data)) + q.server.layer.data[:1000])
        q.server.stopped.wait(60)
    return q.kind == "layer"


@fault
def silent(q):
    return q.kind == "manifests" and (q.server.stopped.wait(60) or True)


@fault
def slow(q):
    if q.kind == "layer":
        q.sock.sendall(head(200, Content_Length=len(q.server.layer.data)))
        for i in range(600):
            q.sock.sendall(q.server.layer.data[i:i + 1])
            if q.server.stopped.wait(0.1):
                break
    return q.kind == "layer"


@fault
def cut(q):
    """Always after 1000 bytes, and no ranges: there is no end to it."""
    if q.kind == "layer":
        q.sock.sendall(head(200, Content_Length=len(q.server.layer.data)) + q.server.layer.data[:1000])
        q.sock.shutdown(socket.SHUT_RDWR)
    return q.kind == "layer"


@fault
def cut_range(q):
    """Every answer is cut after 70,000 bytes, but ranges are served."""
    return q.kind == "layer" and partial(q, q.server.layer.data, 70_000)


@fault
def cut_byte(q):
    """One byte for each connection."""
    return q.kind == "layer" and partial(q, q.server.layer.data, 1)


@fault
def no_range(q):
    """Cut once; then the whole again although a part was asked for."""
    if q.kind == "layer" and q.count == 1:
        return partial(q, q.server.layer.data, 100_000)
    return q.kind == "layer" and answer(q, 200, q.server.layer.data)


@fault
def wrong_range(q):
    if q.kind != "layer" or q.count == 1:
        return q.kind == "layer" and partial(q, q.server.layer.data, 100_000)
    return answer(q, 206, q.server.layer.data[5:], Content_Range=f"bytes 5-{LAYER_SIZE - 1}/{LAYER_SIZE}")


@fault
def unread_range(q):
    if q.kind != "layer" or q.count == 1:
        return q.kind == "layer" and partial(q, q.server.layer.data, 100_000)
    return answer(q, 206, q.server.layer.data[100_000:], Content_Range="bytes lots")


@fault
def range_refused(q):
    """416 to every range: the whole is to be had."""
    if q.kind == "layer" and q.count == 1:
        return partial(q, q.server.layer.data, 100_000)
    return q.kind == "layer" and offset(q) and answer(q, 416)


@fault
def reset_manifest(q):
    """The first two connections give nothing."""
    if q.kind == "manifests" and q.count <= 2:
        q.sock.shutdown(socket.SHUT_RDWR)
        return True
    return False


# Statuses

@fault
def busy(q):
    return q.kind == "manifests" and answer(q, 429, Retry_After=0, RateLimit_Limit="100;w=21600",
                                            RateLimit_Remaining="0;w=21600")


@fault
def busy_once(q):
    return q.kind == "manifests" and q.count == 1 and answer(q, 429, Retry_After=1)


@fault
def busy_layer(q):
    return q.kind == "layer" and q.count <= 2 and answer(q, 503, Retry_After=0)


@fault
def broken(q):
    return q.kind == "manifests" and answer(q, 500)


@fault
def never_there(q):
    return q.kind == "layer" and answer(q, 404)


# Redirects

def redirect(q, to, status=307):
    return answer(q, status, Location=to)


@fault
def redirect_plain(q):
    return q.kind == "layer" and redirect(q, f"http://{q.server.peer.address}/v2/plain/x/blobs/{q.what}")


@fault
def redirect_loop(q):
    return q.kind == "layer" and redirect(q, q.path)


@fault
def redirect_chain(q):
    if q.kind != "layer":
        return False
    n = int((re.search(r"hop=(\d+)", q.path) or [0, "0"])[1])
    return n < 5 and redirect(q, f"?hop={n + 1}")


@fault
def redirect_file(q):
    return q.kind == "layer" and redirect(q, "file:///etc/passwd")


@fault
def redirect_gopher(q):
    return q.kind == "layer" and redirect(q, f"gopher://{q.server.address}/x")


@fault
def redirect_user(q):
    return q.kind == "layer" and redirect(q, f"http://root:pw@{q.server.address}/x")


@fault
def redirect_control(q):
    return q.kind == "layer" and redirect(q, "/x\x1b[2J")


@fault
def redirect_endless(q):
    return q.kind == "layer" and endless(q, head(302, Location="/elsewhere"))


@fault
def redirect_peer(q):
    """To another port, after a login."""
    if "authorization" not in q.headers:
        return q.kind != "ping" and answer(q, 401, WWW_Authenticate='Basic realm="x"')
    return q.kind == "layer" and redirect(q, f"http://{q.server.peer.address}/v2/plain/x/blobs/{q.what}")


@fault
def redirect_peer_401(q):
    if q.kind == "layer" and q.server.peer:
        return redirect(q, f"http://{q.server.peer.address}/v2/wants-login/x/blobs/{q.what}")
    return False


@fault
def wants_login(q):
    return "authorization" not in q.headers and q.kind != "ping" and answer(q, 401, WWW_Authenticate='Basic realm="x"')


# Challenges

def challenge(q, text):
    return q.kind not in ("ping", "token") and answer(q, 401, WWW_Authenticate=text)


@fault
def realm_file(q):
    return challenge(q, 'Bearer realm="file:///etc/passwd",service="x"')


@fault
def realm_plain(q):
    return challenge(q, 'Bearer realm="http://token.example/token",service="x"')


@fault
def realm_none(q):
    return challenge(q, "Bearer")


@fault
def realm_nonsense(q):
    return challenge(q, 'Bearer realm="x, =,,"\t"')


@fault
def realm_huge(q):
    return challenge(q, 'Bearer realm="https://' + "x" * 20000 + '"')


@fault
def unknown_scheme(q):
    return challenge(q, "Negotiate, Digest realm=x")


@fault
def always_401(q):
    return challenge(q, f'Bearer realm="http://{q.server.address}/token/always-401",service="x"') or token(q, "t")


def token(q, text, **members):
    if q.kind != "token":
        return False
    return answer(q, 200, json.dumps({"token": text, **members}).encode(), Content_Type="application/json")


def with_token(q, name, good):
    if q.kind == "ping":
        return False
    if q.headers.get("authorization") not in good:
        return answer(q, 401, WWW_Authenticate=f'Bearer realm="http://{q.server.address}/token/{name}",service="x"')
    return False


@fault
def token_endless(q):
    return endless(q, head(200)) if q.kind == "token" else with_token(q, "token-endless", [])


@fault
def token_injects(q):
    return token(q, "a\r\nX-Evil: 1") or with_token(q, "token-injects", [])


@fault
def token_page(q):
    if q.kind == "token":
        return answer(q, 200, b"<html>", Content_Type="text/html")
    return with_token(q, "token-page", [])


@fault
def token_refuses(q):
    return answer(q, 401) if q.kind == "token" else with_token(q, "token-refuses", [])


@fault
def token_expires(q):
    """The layer is cut, and the token does not count any more when the rest is asked for."""
    if q.kind == "token":
        return token(q, f"t{q.count}")
    now = q.server.counts.get((q.fault, "token"), 0)
    if q.kind == "layer" and offset(q) and now < 2:
        return with_token(q, "token-expires", [])
    if q.kind == "layer" and not offset(q):
        return with_token(q, "token-expires", ["Bearer t1"]) or partial(q, q.server.layer.data, 100_000)
    return with_token(q, "token-expires", [f"Bearer t{now}"])


# Lists

@fault
def tags_loop(q):
    return q.kind == "tags" and answer(q, 200, b'{"tags":[]}', Link=f'<{q.path}>; rel="next"')


@fault
def tags_endless(q):
    """Pages without an end, each with a new tag."""
    body = json.dumps({"tags": [f"t{q.count}-{i}" for i in range(1000)]}).encode()
    return q.kind == "tags" and answer(q, 200, body, Link=f'</v2/tags-endless/x/tags/list?last={q.count}>; rel="next"')


@fault
def tags_elsewhere(q):
    return q.kind == "tags" and answer(q, 200, b'{"tags":["a"]}', Link='<http://127.0.0.2:1/x>; rel="next"')


@fault
def tags_nasty(q):
    body = json.dumps({"tags": ["good", "\x1b[2J", "a b", "x" * 5000, 7, None, {"a": 1}]}).encode()
    return q.kind == "tags" and answer(q, 200, body)


@fault
def tags_deep(q):
    return q.kind == "tags" and answer(q, 200, b'{"tags":' + b"[" * 100000)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


OWN = frozenset(FAULTS)  # tests may add some of theirs


# Uploads: the honest course, with what a fault does at one step of it

UPLOADS = {"up-plain", "up-relative", "up-cut", "up-cut-forgets", "up-cut-always", "up-peer", "up-no-location", "up-file",
           "up-refused", "up-401", "up-lies", "up-peer-401"}


def read_body(q, reader, limit=None):
    """At most limit bytes of it, as they come."""
    if "content-length" in q.headers:
        n = int(q.headers["content-length"])
        return reader.read(n if limit is None else min(n, limit))
    data = b""
    while q.headers.get("transfer-encoding") == "chunked" and (n := int(reader.readline(), 16)):
        data += reader.read(n)
        reader.readline()
        if limit is not None and len(data) >= limit:
            return data[:limit]
    if q.headers.get("transfer-encoding") == "chunked":
        reader.readline()
    return data


def upload(q, reader):
    s, name = q.server, q.fault
    if name == "up-peer-401" and not s.peer:  # where the other one has sent the upload: a stranger who wants a password
        return answer(q, 401, WWW_Authenticate=f'Bearer realm="http://{s.address}/token/up-peer-401",service="x"')
    place = {"up-relative": "?state=2", "up-no-location": None, "up-file": "file:///tmp/x",
             "up-peer-401": s.peer and f"http://{s.peer.address}/v2/up-peer-401/x/blobs/uploads/1",
             "up-peer": s.peer and f"http://{s.peer.address}/v2/up-plain/x/blobs/uploads/1"}.get(
                 name, f"http://{s.address}/v2/{name}/x/blobs/uploads/1?state=a%2Fb")
    if q.method == "POST":
        read_body(q, reader)
        if name in ("up-peer", "up-peer-401", "up-401") and "authorization" not in q.headers:
            return answer(q, 401, WWW_Authenticate='Basic realm="x"')
        s.uploaded[name] = b""
        return answer(q, 202, Location=place)
    if q.method == "GET":
        have = len(s.uploaded[name]) if name != "up-lies" else 1 << 40
        if name == "up-cut-forgets":
            return answer(q, 404)
        return answer(q, 204, Range=f"0-{max(have - 1, 0)}", Location=place)
    if q.method == "PATCH":
        return upload_data(q, reader, place)
    body = read_body(q, reader)
    s.uploaded[name] = s.uploaded.get(name, b"") + body
    if name == "up-refused":
        return answer(q, 400, b'{"errors":[{"code":"DIGEST_INVALID","message":"not so"}]}', Content_Type="application/json")
    return answer(q, 201)


def upload_data(q, reader, place):
    s, name = q.server, q.fault
    cuts = [r for r in s.requests("uploads", name) if r.method == "PATCH"]
    cut_now = {"up-cut": len(cuts) <= 2, "up-cut-forgets": len(cuts) == 1, "up-lies": len(cuts) == 1,
               "up-cut-always": True}.get(name)
    at = re.match(r"(\d+)-", q.headers.get("content-range", ""))
    if at and int(at.group(1)) != len(s.uploaded[name]):
        return answer(q, 416)
    if name == "up-401" and len(cuts) == 1:
        read_body(q, reader)
        return answer(q, 401, WWW_Authenticate='Basic realm="x"')
    s.uploaded[name] = s.uploaded.get(name, b"") + read_body(q, reader, 100_000 if cut_now else None)
    if cut_now:
        q.sock.shutdown(socket.SHUT_RDWR)
        return False
    return answer(q, 202, Location=place if name != "up-no-location" else None)
