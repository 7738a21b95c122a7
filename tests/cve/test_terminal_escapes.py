"""Names and texts that steer the user's terminal, or that make lines of their own in a table."""
import pytest

COMMAND = "a\x1b[2J\nb\tc\x9b2Jd\u202e"
LABEL = "k\x1b]0;title\x07=v\x1b[31m"


def unsafe(text):
    return [c for c in text if ord(c) < 0x20 and c not in "\n\r\t" or 0x7f <= ord(c) < 0xa0
            or c == "\u202e"]


def test_tables(rootlet, lab):
    image = lab.load(Labels={"org.example\x1b[2J": "\x1b[2J"}, Cmd=[COMMAND])
    rootlet.ok("create", "--label", LABEL, "--name", "c", image)
    for args in (("ps", "-a"), ("ps", "-a", "--no-trunc"), ("images",), ("history", image),
                 ("ps", "-a", "--format", "table {{.Command}}\t{{.Labels}}\t{{.Names}}")):
        r = rootlet.ok(*args)
        assert not unsafe(r.out) and len(r.out.splitlines()) == 2, r


@pytest.mark.parametrize("args", [
    ("ps", "-a", "--format", "{{.Command}} {{.Labels}}"),
    ("inspect", "-f", "{{.Config.Labels}} {{.Config.Cmd}}", "c"),
    ("image", "inspect", "-f", "{{.Config.Labels}}", "localhost/hostile"),
])
def test_templates_on_a_terminal(rootlet, lab, args):
    rootlet.ok("create", "--label", LABEL, "--name", "c",
               lab.load(Labels={"org.example\x1b[2J": "\x1b[2J"}, Cmd=[COMMAND]))
    t = rootlet.pty(*args)
    assert t.wait() == 0 and not unsafe(t.output) and r"\x1b[" in t.output


@pytest.mark.parametrize("words", [
    ("run", "--rm", "{image}", "\x1b[2J"),
    ("run", "--rm", "-w", "/\x1b[2J\x9b", "{image}", "/\x1b[2J\n"),
    ("run", "--rm", "-u", "\x1b[2J", "{image}", "true"),
    ("run", "--rm", "\x1b[2J", "true"),
    ("inspect", "\x1b[2J\u202e"),
    ("exec", "\x1b[2J", "true"),
    ("tag", "{image}", "\x1b[2J"),
])
def test_messages(rootlet, words):
    image = rootlet.image()
    r = rootlet(*[w.format(image=image) for w in words])
    assert r.rc and not unsafe(r.err) and len(r.err.strip().splitlines()) <= 2, r


def test_names_in_the_image(rootlet, lab):
    """User, WorkingDir and the command of an image, in messages about them."""
    for config in ({"User": "\x1b[2J", "Cmd": ["true"]}, {"Entrypoint": ["/\x1b[2J"]},
                   {"WorkingDir": "/bin/sh/\x1b[2J", "Cmd": ["true"]}):
        r = rootlet("run", "--rm", lab.load(**config))
        assert r.rc in (125, 126, 127) and not unsafe(r.err) and "x1b" in r.err, r
