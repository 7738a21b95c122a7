"""Help names everything there is: the commands of both programs, groups, global options."""


def test_overview(rootlet):
    for args in ((), ("help",), ("--help",), ("-h",)):
        text = rootlet.ok(*args).out
        for word in ("\n  run ", "\n  load ", "\n  why ", "\n  image\n", "--storage-driver"):
            assert word in text, (args, word)


def test_group(rootlet):
    for args in (("image", "--help"), ("help", "image")):
        text = rootlet.ok(*args).out
        assert "\n  inspect " in text and "\n  ls " in text
    rootlet.fails("image", match="missing command")


def test_commands_of_both_programs(rootlet):
    for words in (("run",), ("load",), ("image", "inspect"), ("container", "ls"), ("delete",)):
        by_help = rootlet.ok("help", *words).out
        assert by_help == rootlet.ok(*words, "--help").out
        assert "Usage:" in by_help


def test_suggestions(rootlet):
    rootlet.fails("lod", match="did you mean 'load'")
    rootlet.fails("rnu", match="did you mean 'run'")
    rootlet.fails("image", "inspekt", match="did you mean 'inspect'")
    rootlet.fails("help", "nosuch", match="unrecognized command")


def test_without_rootlet_image(rootlet):
    """A broken installation still helps."""
    text = rootlet.ok("--help", env={"ROOTLET_LIBEXEC": "/nonexistent"}).out
    assert "\n  run " in text and "\n  load " not in text


def test_every_command_has_an_example_that_names_it(rootlet):
    """And each example begins as the command is typed."""
    dump = [line.split("\t") for line in rootlet.ok("help", "--dump").out.splitlines()]
    names = [c[0] for c in dump if len(c) > 1 and c[0] and c[1] == ""]
    assert len(names) > 50
    for name in names:
        text = rootlet.ok(*name.split(), "--help").out
        assert "\nExamples:\n" in text, f"{name} has no example"
        examples = text.split("\nExamples:\n")[1].split("\n\n")[0]
        assert f"rootlet {name}" in examples, (name, examples)
