"""signing - signatures of cosign's form: keys, cosign's encrypted private keys (which skopeo and podman sign with), and
signatures put into a registry by plain HTTP."""
import base64
import hashlib
import json
import os
import ssl
import struct
import subprocess
import urllib.request

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
PASSPHRASE = "pass phrase"


def openssl(*args, data=None):
    r = subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True, check=False)
    assert r.returncode == 0, r.stderr.decode()
    return r.stdout


class Key:
    """NAME.key and NAME.pub (PEM). kind: ec, rsa or ed25519."""

    KINDS = {"ec": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
             "ed25519": ("ED25519",)}

    def __init__(self, directory, name, kind="ec"):
        self.kind = kind
        self.private, self.public = directory / f"{name}.key", directory / f"{name}.pub"
        openssl("genpkey", "-algorithm", *self.KINDS[kind], "-out", self.private)
        openssl("pkey", "-in", self.private, "-pubout", "-out", self.public)
        self.public.chmod(0o644)

    def sign(self, payload, directory):
        path = directory / "payload"
        path.write_bytes(payload)
        if self.kind == "ed25519":
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.private, "-in", path)
        return openssl("dgst", "-sha256", "-sign", self.private, path)

    def data(self):
        return base64.b64encode(self.public.read_bytes()).decode()

    def cosign(self, path):
        """The private key as cosign writes it: PKCS #8, in a secretbox under a key from the pass phrase by scrypt."""
        der = openssl("pkcs8", "-topk8", "-nocrypt", "-in", self.private, "-outform", "DER")
        salt, nonce = os.urandom(32), os.urandom(24)
        n, r, p = 32768, 8, 1
        secret = hashlib.scrypt(PASSPHRASE.encode(), salt=salt, n=n, r=r, p=p, maxmem=1 << 27, dklen=32)
        box = {"kdf": {"name": "scrypt", "params": {"N": n, "r": r, "p": p}, "salt": b64(salt)},
               "cipher": {"name": "nacl/secretbox", "nonce": b64(nonce)},
               "ciphertext": b64(secretbox(der, nonce, secret))}
        text = b64(json.dumps(box).encode())
        lines = "\n".join(text[i:i + 64] for i in range(0, len(text), 64))
        kind = "ENCRYPTED COSIGN PRIVATE KEY"
        path.write_text(f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n")
        return path


def b64(data):
    return base64.b64encode(data).decode()


def _rounds(x):
    """The twenty rounds of Salsa20 over sixteen words."""
    def quarter(a, b, c, d):
        for to, one, two, by in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
            v = (x[one] + x[two]) & 0xffffffff
            x[to] ^= ((v << by) | (v >> (32 - by))) & 0xffffffff
    for _ in range(10):
        for q in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11), (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9),
                  (15, 12, 13, 14)):
            quarter(*q)


def _words(key, block):
    sigma, k, b = struct.unpack("<4I", b"expand 32-byte k"), struct.unpack("<8I", key), struct.unpack("<4I", block)
    return [sigma[0], *k[:4], sigma[1], *b, sigma[2], *k[4:], sigma[3]]


def secretbox(message, nonce, key):
    """XSalsa20 and Poly1305, as NaCl has them."""
    x = _words(key, nonce[:16])
    _rounds(x)
    subkey = struct.pack("<8I", *(x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))
    stream = b""
    for i in range((len(message) + 32) // 64 + 1):
        start = _words(subkey, nonce[16:] + struct.pack("<Q", i))
        x = list(start)
        _rounds(x)
        stream += struct.pack("<16I", *((a + b) & 0xffffffff for a, b in zip(x, start)))
    cipher = bytes(a ^ b for a, b in zip(message, stream[32:]))
    r = int.from_bytes(stream[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    s, acc = int.from_bytes(stream[16:32], "little"), 0
    for i in range(0, len(cipher), 16):
        acc = (acc + int.from_bytes(cipher[i:i + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return ((acc + s) & ((1 << 128) - 1)).to_bytes(16, "little") + cipher


def payload(reference, digest, **optional):
    return json.dumps({"critical": {"identity": {"docker-reference": reference},
                                    "image": {"docker-manifest-digest": digest},
                                    "type": "cosign container image signature"}, "optional": optional or None}).encode()


class Writer:
    """Puts blobs and manifests into a registry without authentication."""

    def __init__(self, registry, repository):
        self.base = f"{'https' if registry.tls else 'http'}://127.0.0.1:{registry.port}/v2/{repository}"
        self.context = ssl._create_unverified_context()  # pylint: disable=protected-access

    def _ask(self, method, url, data=None, **headers):
        q = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(q, context=self.context) as r:
            return r.headers, r.read()

    def blob(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        headers, _ = self._ask("POST", f"{self.base}/blobs/uploads/", b"")
        place = headers["Location"]
        place = place if "://" in place else self.base.split("/v2/", maxsplit=1)[0] + place
        self._ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data,
                  **{"Content-Type": "application/octet-stream"})
        return {"digest": digest, "size": len(data)}

    def manifest(self, doc, reference=None):
        data = json.dumps(doc).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self._ask("PUT", f"{self.base}/manifests/{reference or digest}", data, **{"Content-Type": doc["mediaType"]})
        return {"mediaType": doc["mediaType"], "digest": digest, "size": len(data)}

    def get(self, reference):
        _, data = self._ask("GET", f"{self.base}/manifests/{reference}",
                            Accept=f"{MANIFEST}, application/vnd.oci.image.index.v1+json, "
                            "application/vnd.docker.distribution.manifest.v2+json, "
                            "application/vnd.docker.distribution.manifest.list.v2+json")
        return data, "sha256:" + hashlib.sha256(data).hexdigest()

    def signatures(self, digest, pairs, tag=None, **layer):
        """Under cosign's tag of the digest: (payload, signature) each a layer."""
        layers = [{"mediaType": SIMPLE, **self.blob(p), "annotations": {ANNOTATION: b64(s)}, **layer} for p, s in pairs]
        doc = {"schemaVersion": 2, "mediaType": MANIFEST,
               "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **self.blob(b"{}")}, "layers": layers}
        return self.manifest(doc, tag or digest.replace(":", "-") + ".sig")

    def referrer(self, digest, pairs):
        """The same as what refers to the digest, in the list of a registry that has no such API."""
        made = self.signatures(digest, pairs, tag="referring")
        self.manifest({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                       "manifests": [{**made, "artifactType": ARTIFACT}]}, digest.replace(":", "-"))
