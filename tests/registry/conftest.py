"""Fixtures of the tests with registries, beside those of tests/conftest.py:

lab                 makes registries (lab.py); one for all tests of a worker
registry            plain http, without authentication; shared: tests use names of their own
tls_registry        https with the lab's own authority
htpasswd_registry   https with Basic authentication
token_registry      https with a token server (tokens.py)
rl                  rootlet with credentials and settings of nobody else's, and options for a registry:
                    rl.ok("pull", *rl.trust(registry), registry.name("x:1"))"""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
import lab as lab_  # noqa: E402


@pytest.fixture(scope="session")
def lab(rootlet_base):
    made = lab_.Lab(rootlet_base)
    yield made
    made.end()


@pytest.fixture(autouse=True)
def no_fresh_registries(request):
    yield
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").end_fresh()


@pytest.fixture
def registry(lab):
    return lab.registry()


@pytest.fixture
def tls_registry(lab):
    return lab.registry(tls="ca")


@pytest.fixture
def htpasswd_registry(lab):
    return lab.registry(tls="ca", auth="htpasswd")


@pytest.fixture
def token_registry(lab):
    made = lab.registry(tls="ca", auth="token")
    made.tokens.forget()
    return made


@pytest.fixture
def rl(rootlet):
    def trust(registry, creds=True):
        """Options of rootlet that make it trust a registry."""
        options = ["--creds", registry.credentials()] if registry.auth and creds else []
        if registry.tls in ("ca", "client"):
            return options + ["--cert-dir", str(registry.lab.cert_dir(registry.tls))]
        return options + ["--tls-verify=false"]
    rootlet.trust = trust
    return rootlet
