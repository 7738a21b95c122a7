"""lab - registries to test with: Debian's docker-registry as an ordinary process on loopback, each on a port of its own,
and a token server. As root they run as nobody, never as a test user: what those run is audited.

    lab = Lab(directory)
    r = lab.registry(tls="ca", auth="token")        started once for the same words; fresh=True: one of its own
    r.address                                       localhost:PORT
    r.push(archive, "team/app:1", format="v2s2")    by skopeo, with the right credentials and CA
    with r.watch() as seen: ...                     what was asked meanwhile: seen[0].method, .path, .status, .bytes
    lab.certs("client"), r.auth_file(user)          what a client is given

tls: None, "ca" (of lab.ca), "wrong-name", "expired", "client" (asks for a client's certificate).
auth: None, "htpasswd", "token", "identity" (token, of a server that hands out identity tokens)."""
import base64
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tarfile
import tempfile
import time
from collections import namedtuple

import pytest

import tokens
from lib import host, runner

USER, PASSWORD = "alice", "secret: word"  # a colon and a space: Basic authentication is easily got wrong
Request = namedtuple("Request", "method path status bytes agent")
LINE = re.compile(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d+) (\d+) "[^"]*" "([^"]*)"')
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_us():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def as_nobody():
    if not host.is_root():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def openssl(*args):
    r = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, check=False)
    assert r.returncode == 0, f"openssl {args}: {r.stderr}"


class Certificates:
    """An authority of one's own, and what it signs: NAME.crt and NAME.key."""

    NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self._root("ca")
        self._root("other-ca")
        self._signed("ca-server", "ca", self.NAMES)
        self._signed("wrong-name", "ca", "subjectAltName=DNS:other.example")
        self._signed("expired", "ca", self.NAMES, ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z"))
        self._signed("client", "ca", "extendedKeyUsage=clientAuth")
        self._root("token", ("-newkey", "rsa:2048", "-nodes"))
        for path in directory.iterdir():
            path.chmod(0o644)

    def __call__(self, name):
        return self.directory / name

    EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def _root(self, name, key=EC):
        openssl("req", "-x509", *key, "-days", 30, "-subj", f"/CN=rootlet tests {name}",
                "-addext", "keyUsage=digitalSignature,keyCertSign", "-keyout", self(f"{name}.key"), "-out",
                self(f"{name}.crt"))

    def _signed(self, name, authority, extension, dates=("-days", 30)):
        d = self.directory
        (d / "ext").write_text(f"basicConstraints=CA:FALSE\n{extension}\n")
        (d / "index").write_text("")
        (d / "ca.cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={d}/index\nnew_certs_dir={d}\ndefault_md=sha256\n"
                                  "policy=p\nrand_serial=yes\nunique_subject=no\n[p]\ncommonName=supplied\n")
        openssl("req", "-new", *self.EC, "-subj", f"/CN=rootlet tests {name}", "-keyout",
                self(f"{name}.key"), "-out", d / "csr")
        openssl("ca", "-batch", "-notext", "-config", d / "ca.cnf", "-cert", self(f"{authority}.crt"),
                "-keyfile", self(f"{authority}.key"), "-in", d / "csr", "-out", self(f"{name}.crt"), "-extfile",
                d / "ext", *dates)


class Registry:
    """One process of docker-registry. `stop` and `start` keep the port and what is stored."""

    def __init__(self, lab, tls, auth, options=None):
        self.lab, self.tls, self.auth, self.options = lab, tls, auth, options or {}
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="registry", dir=lab.directory))
        self.storage = self.directory / "storage"
        self.storage.mkdir()
        self.log = self.directory / "log"
        self.process, self.port = None, 0
        self.tokens = None
        if auth in ("token", "identity"):
            self.tokens = tokens.Server(lab.certs, tls, identity=auth == "identity")
        lab.give(self.directory)
        self.start()

    @property
    def address(self):
        return f"localhost:{self.port}"

    def name(self, text):
        return f"{self.address}/{text}"

    def _configuration(self):
        certs = self.lab.certs if self.tls or self.tokens else None
        http_part = {"addr": f"127.0.0.1:{self.port}", "secret": "x"}
        if self.tls:
            name = "ca-server" if self.tls in ("ca", "client") else self.tls
            http_part["tls"] = {"certificate": str(certs(f"{name}.crt")), "key": str(certs(f"{name}.key"))}
        if self.tls == "client":
            http_part["tls"]["clientcas"] = [str(certs("ca.crt"))]
        conf = {"version": 0.1, "log": {"level": "info"}, "http": http_part,
                "storage": {"filesystem": {"rootdirectory": str(self.storage)}, "delete": {"enabled": True},
                            "cache": {"blobdescriptor": "inmemory"}}}
        if self.auth == "htpasswd":
            conf["auth"] = {"htpasswd": {"realm": "the lab", "path": str(self.lab.htpasswd())}}
        elif self.tokens:
            conf["auth"] = {"token": {"realm": self.tokens.realm, "service": "the lab", "issuer": "rootlet tests",
                                      "rootcertbundle": str(certs("token.crt"))}}
        conf.update(self.options)
        return conf

    def start(self):
        conf = self.directory / "config.yml"
        conf.write_text(json.dumps(self._configuration()))  # JSON is YAML
        conf.chmod(0o644)
        begin = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            # pylint: disable=subprocess-popen-preexec-fn
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(conf)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}, preexec_fn=die_with_us, **as_nobody())

        def listens():
            text = self.log.read_text(errors="replace")[begin:]
            assert self.process.poll() is None, f"docker-registry ended:\n{text}"
            return re.search(r"listening on 127\.0\.0\.1:(\d+)", text)
        self.port = int(runner.wait_for(listens, 30, "docker-registry")[1])
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self):
        self.stop()
        if self.tokens:
            self.tokens.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    # What was asked of it.

    def _marker(self):
        """A request nobody else makes: those which were answered before it stand in the log before it."""
        marker = f"/marker-{time.monotonic_ns()}"
        if self.tls == "client":
            context = ssl._create_unverified_context()  # pylint: disable=protected-access
            context.load_cert_chain(self.lab.certs("client.crt"), self.lab.certs("client.key"))
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context)
        elif self.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port,
                                                     context=ssl._create_unverified_context())
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
        with contextlib.closing(connection):
            connection.request("GET", marker)
            connection.getresponse().read()
        return marker

    def requests(self, begin=0):
        """All since this place of the log."""
        marker = self._marker()
        lines = runner.wait_for(lambda: marker in self.log.read_text(errors="replace")[begin:] and
                                self.log.read_text(errors="replace")[begin:], 10, "the access log").splitlines()
        found = (LINE.search(line) for line in lines)
        return [Request(m[1], m[2], int(m[3]), int(m[4]), m[5]) for m in found if m and "/marker-" not in m[2]]

    @contextlib.contextmanager
    def watch(self):
        """A list that holds at the end of the block what was asked in it."""
        self._marker()
        begin = len(self.log.read_text(errors="replace"))
        seen = []
        yield seen
        seen.extend(self.requests(begin))

    # Clients.

    def credentials(self):
        return f"{USER}:{PASSWORD}" if self.auth else None

    def auth_file(self, path, user=None, creds=None):
        """An auth.json with these credentials for this registry, or the right ones."""
        word = base64.b64encode((creds or f"{USER}:{PASSWORD}").encode()).decode()
        path = pathlib.Path(path)
        path.write_text(json.dumps({"auths": {self.address: {"auth": word}}}))
        path.chmod(0o600)
        if user is not None and user.made:
            os.chown(path, user.uid, user.gid)
        return path

    def peer_options(self, prefix=""):
        """Options of skopeo, buildah and podman that make them trust this registry; `prefix` is src- or dest-."""
        options = [f"--{prefix}creds={USER}:{PASSWORD}"] if self.auth else []
        if self.tls in ("ca", "client"):
            return options + [f"--{prefix}cert-dir={self.lab.cert_dir(self.tls)}"]
        return options + [f"--{prefix}tls-verify=false"]

    def push(self, source, name, *options, **kw):
        """By skopeo from an archive or anything it knows ("oci:DIR:TAG"); returns the reference."""
        if "format" in kw:
            options += ("--format", kw["format"])
        if ":" not in str(source):
            with tarfile.open(source) as tar:
                source = f"{'docker' if 'manifest.json' in tar.getnames() else 'oci'}-archive:{source}"
        self.lab.skopeo("copy", "-q", *self.peer_options("dest-"), *options, source, f"docker://{self.name(name)}")
        return self.name(name)

    def inspect_raw(self, name):
        """The manifest's exact bytes."""
        return self.lab.skopeo("inspect", "--raw", *self.peer_options(), f"docker://{self.name(name)}")

    def blob_path(self, digest):
        """Where the registry keeps it, for tests that damage it."""
        algorithm, _, word = digest.partition(":")
        return self.storage / f"docker/registry/v2/blobs/{algorithm}/{word[:2]}/{word}/data"


class Lab:
    """Makes registries, and ends them."""

    def __init__(self, base):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="registries", dir=base))
        self.directory.chmod(0o755)
        self._certs, self._running, self._fresh = None, {}, []

    @staticmethod
    def give(path):
        """To whom registries run as."""
        path.chmod(0o755)
        if host.is_root():
            ids = as_nobody()
            for p in (path, *path.rglob("*")):
                os.chown(p, ids["user"], ids["group"])

    @property
    def certs(self):
        if self._certs is None:
            self._certs = Certificates(self.directory / "certs")
        return self._certs

    def cert_dir(self, kind="ca"):
        """A directory for --cert-dir: "ca", "client", "other" (an authority that has signed nothing)."""
        path = self.directory / f"cert-dir-{kind}"
        if not path.exists():
            path.mkdir(mode=0o755)
            shutil.copy(self.certs("other-ca.crt" if kind == "other" else "ca.crt"), path / "ca.crt")
            if kind == "client":
                shutil.copy(self.certs("client.crt"), path / "client.cert")
                shutil.copy(self.certs("client.key"), path / "client.key")
        return path

    def htpasswd(self):
        path = self.directory / "htpasswd"
        if not path.exists():
            path.write_text(host.run("htpasswd", "-Bbn", USER, PASSWORD))
        return path

    def skopeo(self, *argv):
        policy = self.directory / "policy.json"
        policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        tmp = self.directory / "tmp"
        tmp.mkdir(exist_ok=True)
        env = {**os.environ, "TMPDIR": str(tmp), "HOME": str(tmp), "REGISTRY_AUTH_FILE": str(tmp / "none.json")}
        r = subprocess.run(["skopeo", "--policy", str(policy), "--tmpdir", str(tmp), *map(str, argv)], env=env,
                           capture_output=True, check=False)
        assert r.returncode == 0, f"skopeo {argv}: {r.stderr.decode()}"
        return r.stdout

    def registry(self, tls=None, auth=None, fresh=False, options=None):
        for tool in ("docker-registry", "skopeo", *(("openssl",) if tls or auth else ()),
                     *(("htpasswd",) if auth == "htpasswd" else ())):
            if not shutil.which(tool):
                pytest.skip(f"needs {tool}")
        if fresh or options:
            self._fresh.append(Registry(self, tls, auth, options))
            return self._fresh[-1]
        if (tls, auth) not in self._running:
            self._running[tls, auth] = Registry(self, tls, auth)
        running = self._running[tls, auth]
        if running.process.poll() is not None:
            running.start()
        return running

    def end_fresh(self):
        while self._fresh:
            self._fresh.pop().end()

    def end(self):
        self.end_fresh()
        for registry in self._running.values():
            registry.end()
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port():
    """One that nobody listens on, for connections that are refused."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
