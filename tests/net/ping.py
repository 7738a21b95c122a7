"""ping ADDRESS SECONDS: asks every 100 ms; exit status 0 with the first answer. Needs a raw socket."""
import os
import socket
import struct
import sys
import time

address, seconds = sys.argv[1], float(sys.argv[2])
v6 = ":" in address
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
s.settimeout(0.1)
ident, end, n = os.getpid() & 0xffff, time.monotonic() + seconds, 0
while time.monotonic() < end:
    n += 1
    body = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, ident, n)
    if not v6:
        total = sum(struct.unpack("!4H", body))
        total = (total & 0xffff) + (total >> 16)
        body = body[:2] + struct.pack("!H", ~total & 0xffff) + body[4:]
    try:
        s.sendto(body, (address, 0))
        while True:
            data, where = s.recvfrom(2048)
            if where[0] == address and data[0 if v6 else 20] == (129 if v6 else 0) and \
                    struct.unpack_from("!H", data, 4 if v6 else 24)[0] == ident:
                sys.exit(0)
    except OSError:
        time.sleep(0.05)
sys.exit(1)
