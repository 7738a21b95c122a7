"""opentap.py tap|packet FD: opens the device in this network namespace, sends it over socket FD.
opentap.py offload: checksums of tap0 are computed before they are on the wire."""
import array
import ctypes
import fcntl
import os
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
ETH_P_ALL, SOL_PACKET, PACKET_IGNORE_OUTGOING = 3, 263, 23

if sys.argv[1] == "offload":
    value = ctypes.create_string_buffer(struct.pack("=II", 0x17, 0))  # ETHTOOL_STXCSUM
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8946, struct.pack("16sQ16x", b"tap0", ctypes.addressof(value)))
    sys.exit(0)
if sys.argv[1] == "tap":
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tap0", IFF_TAP | IFF_NO_PI))
else:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    for what in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        s.setsockopt(socket.SOL_SOCKET, what, 4 << 20)
    s.bind(("far", ETH_P_ALL))
    fd = s.fileno()
with socket.socket(fileno=int(sys.argv[2])) as out:
    out.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
