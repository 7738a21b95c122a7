"""Rule sets of other programs, on the host of a world: those of firewalls/ were listed after docker 20.10
(iptables-save) and firewalld 1.3 (nft, zone public; and with rlbr0 in the zone trusted) had made them."""
import pathlib
import re
import shutil

import pytest

HERE = pathlib.Path(__file__).with_name("firewalls")
OWN = "table inet mine {\nchain fw { type filter hook forward priority filter; policy drop; }\n}\n"


class Loaded:
    """name: a file, or the text of rules. "firewalld" has no way out of the zone of the uplink, as with
    zones without "forward" or an uplink in another zone; "firewalld-trusted" neither, but rlbr0 in trusted."""

    def __init__(self, ns, name):
        self.ns, self.tables = ns, []
        self.text = self.read(name)
        self.restore = next((p for p in ("iptables-nft-restore", "iptables-restore") if shutil.which(p)), None)
        if name.endswith(".iptables") and not self.restore:
            pytest.skip("iptables is not installed")

    @staticmethod
    def read(name):
        if name.startswith("firewalld") and not name.endswith(".nft"):
            return (HERE / (name + ".nft")).read_text().replace('oifname "up0" accept', "")
        return name if "{" in name else (HERE / name).read_text()

    def __enter__(self):
        self.load()
        return self

    def load(self):
        if self.text.startswith("*"):
            self.ns.run(self.restore, input=self.text)
            self.tables = [("ip", t) for t in re.findall(r"^\*(\w+)", self.text, re.M)]
        else:
            self.ns.run("nft", "-f", "-", input=self.text)
            self.tables = re.findall(r"^table (\w+) (\w+)", self.text, re.M)

    def listed(self):
        """All of it but the counters."""
        return [self.ns.run("nft", "-s", "list", "table", *t) for t in self.tables]

    def replace(self, name):
        self.__exit__()
        self.text = self.read(name)
        self.load()

    def __exit__(self, *_):
        for t in self.tables:
            self.ns.run("nft", "delete", "table", *t)
