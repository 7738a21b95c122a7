schemadir = $(pkgdatadir)/schema
dist_schema_DATA = data/schema/rootlet-config.schema.json

# Completions, written by man/generate.py. bash loads the file that is named as the program.
dist_zshcomp_DATA = data/completions/_rootlet data/completions/_rootlet-oci
dist_fishcomp_DATA = data/completions/rootlet.fish data/completions/rootlet-oci.fish
dist_bashcomp_DATA = data/completions/rootlet data/completions/rootlet-oci

# Units of users.
USER_UNITS = data/systemd/user/rootlet-restart.service data/systemd/user/rootlet-auto-update.service
systemduserunit_DATA = $(USER_UNITS)
dist_systemduserunit_DATA = data/systemd/user/rootlet-auto-update.timer
EXTRA_DIST += data/systemd/user/rootlet-restart.service.in data/systemd/user/rootlet-auto-update.service.in
CLEANFILES += $(USER_UNITS)
$(USER_UNITS): %: $(srcdir)/%.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && sed 's|@bindir[@]|$(bindir)|g' $(srcdir)/$@.in > $@.tmp && mv $@.tmp $@
