"""In a network namespace: makes sockets there and hands them out, and runs what it is told to.

A request is "FAMILY TYPE" as numbers; the answer is one byte with the socket's descriptor."""
import array
import socket
import sys


def main():
    ctl = socket.socket(fileno=int(sys.argv[1]))
    while True:
        request = ctl.recv(100)
        if not request:
            return
        family, kind = map(int, request.split())
        with socket.socket(family, kind) as s:
            ctl.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])


main()
