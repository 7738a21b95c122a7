"""The servers of the world outside: HTTP on port 8000 (/ tells the client's address, /big is 16 MiB,
POST / tells how much came), UDP on 9000 (answers with the client's address), names on port 53 (every A
is 198.51.100.2, every AAAA 2001:db8::2; names with "missing" do not exist). An argument: names only, on
that address."""
import http.server
import ipaddress
import socket
import socketserver
import struct
import sys
import threading


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"x" * (16 << 20) if self.path == "/big" else self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        left, n = int(self.headers["Content-Length"]), 0
        while left > n:
            data = self.rfile.read(min(left - n, 1 << 20))
            if not data:
                break
            n += len(data)
        body = str(n).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Pages(socketserver.ThreadingMixIn, http.server.HTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)


def bound(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((address, port))
    return s


def echo(address):
    s = bound(address, 9000)
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(peer[0].encode() + b" " + data, peer)


def answer(query):
    ident, = struct.unpack("!H", query[:2])
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]])
        at += 1 + query[at]
    question = query[12:at + 5]
    kind, = struct.unpack("!H", query[at + 1:at + 3])
    data = {1: ipaddress.ip_address("198.51.100.2").packed,
            28: ipaddress.ip_address("2001:db8::2").packed}.get(kind)
    missing = any(b"missing" in label for label in labels)
    found = data and not missing
    head = struct.pack("!6H", ident, 0x8180 | (3 if missing else 0), 1, int(bool(found)), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data if found else b""
    return head + question + record


def names(address):
    s = bound(address, 53)
    while True:
        query, peer = s.recvfrom(4096)
        try:
            s.sendto(answer(query), peer)
        except (IndexError, struct.error):
            pass


def addresses():
    """Of this namespace: UDP answers from the address that was asked."""
    with open("/proc/net/fib_trie", encoding="utf-8") as f:
        lines = f.read().split("\n")
    found = {lines[i - 1].split()[-1] for i, line in enumerate(lines) if "host LOCAL" in line}
    return sorted(a for a in found if not a.startswith("127."))


def main():
    jobs = [lambda: names(sys.argv[1])]
    if not sys.argv[1]:
        pages = Pages(("::", 8000), Page)
        v4 = addresses()
        jobs = [pages.serve_forever, *(lambda a=a: names(a) for a in v4), *(lambda a=a: echo(a) for a in v4),
                lambda: names("2001:db8::2"), lambda: echo("2001:db8::2")]
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for t in threads:
        t.start()
    print("ready", flush=True)
    threads[0].join()


main()
