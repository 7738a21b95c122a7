# The pages are committed, so that building needs no Python: man/generate.py writes them from the
# option tables and man/prose. tests/check-man.py compares them with the built programs.
dist_man1_MANS += \
	man/rootlet-attach.1 \
	man/rootlet-create.1 \
	man/rootlet-delete.1 \
	man/rootlet-doctor.1 \
	man/rootlet-events.1 \
	man/rootlet-exec.1 \
	man/rootlet-history.1 \
	man/rootlet-image-check.1 \
	man/rootlet-image-exists.1 \
	man/rootlet-image-inspect.1 \
	man/rootlet-image-prune.1 \
	man/rootlet-images.1 \
	man/rootlet-import.1 \
	man/rootlet-info.1 \
	man/rootlet-inspect.1 \
	man/rootlet-kill.1 \
	man/rootlet-list.1 \
	man/rootlet-load.1 \
	man/rootlet-logs.1 \
	man/rootlet-ls.1 \
	man/rootlet-oci.1 \
	man/rootlet-pause.1 \
	man/rootlet-ps.1 \
	man/rootlet-remove.1 \
	man/rootlet-rename.1 \
	man/rootlet-restart.1 \
	man/rootlet-rm.1 \
	man/rootlet-rmi.1 \
	man/rootlet-run.1 \
	man/rootlet-save.1 \
	man/rootlet-spec.1 \
	man/rootlet-start.1 \
	man/rootlet-stats.1 \
	man/rootlet-stop.1 \
	man/rootlet-tag.1 \
	man/rootlet-unpause.1 \
	man/rootlet-untag.1 \
	man/rootlet-update.1 \
	man/rootlet-version.1 \
	man/rootlet-volume-create.1 \
	man/rootlet-volume-exists.1 \
	man/rootlet-volume-inspect.1 \
	man/rootlet-volume-ls.1 \
	man/rootlet-volume-prune.1 \
	man/rootlet-volume-rm.1 \
	man/rootlet-wait.1 \
	man/rootlet-why.1 \
	man/rootlet.1
dist_man5_MANS += man/rootlet.conf.5
EXTRA_DIST += man/generate.py man/gen_tables.py man/gen_man.py man/gen_complete.py $(man_prose)
man_prose = \
	man/prose/rootlet-attach.md \
	man/prose/rootlet-create.md \
	man/prose/rootlet-doctor.md \
	man/prose/rootlet-events.md \
	man/prose/rootlet-exec.md \
	man/prose/rootlet-history.md \
	man/prose/rootlet-image-check.md \
	man/prose/rootlet-image-exists.md \
	man/prose/rootlet-image-inspect.md \
	man/prose/rootlet-image-prune.md \
	man/prose/rootlet-images.md \
	man/prose/rootlet-import.md \
	man/prose/rootlet-info.md \
	man/prose/rootlet-inspect.md \
	man/prose/rootlet-kill.md \
	man/prose/rootlet-list.md \
	man/prose/rootlet-load.md \
	man/prose/rootlet-logs.md \
	man/prose/rootlet-oci.md \
	man/prose/rootlet-pause.md \
	man/prose/rootlet-ps.md \
	man/prose/rootlet-rename.md \
	man/prose/rootlet-restart.md \
	man/prose/rootlet-rm.md \
	man/prose/rootlet-rmi.md \
	man/prose/rootlet-run.md \
	man/prose/rootlet-save.md \
	man/prose/rootlet-spec.md \
	man/prose/rootlet-start.md \
	man/prose/rootlet-stats.md \
	man/prose/rootlet-stop.md \
	man/prose/rootlet-tag.md \
	man/prose/rootlet-unpause.md \
	man/prose/rootlet-untag.md \
	man/prose/rootlet-version.md \
	man/prose/rootlet-volume-create.md \
	man/prose/rootlet-volume-exists.md \
	man/prose/rootlet-volume-inspect.md \
	man/prose/rootlet-volume-ls.md \
	man/prose/rootlet-volume-prune.md \
	man/prose/rootlet-volume-rm.md \
	man/prose/rootlet-wait.md \
	man/prose/rootlet-why.md \
	man/prose/rootlet.conf.5.md \
	man/prose/rootlet.md

# For maintainers, after a change of commands or options.
update-man: all
	$(PYTHON) $(top_srcdir)/man/generate.py --build .
.PHONY: update-man
