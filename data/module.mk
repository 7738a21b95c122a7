schemadir = $(pkgdatadir)/schema
dist_schema_DATA = data/schema/rootlet-config.schema.json

# Completions, written by man/generate.py. bash loads the file that is named as the program.
dist_zshcomp_DATA = data/completions/_rootlet data/completions/_rootlet-oci
dist_fishcomp_DATA = data/completions/rootlet.fish data/completions/rootlet-oci.fish
dist_bashcomp_DATA = data/completions/rootlet data/completions/rootlet-oci

# Units of users.
USER_UNITS = data/systemd/user/rootlet-restart.service
systemduserunit_DATA = $(USER_UNITS)
EXTRA_DIST += data/systemd/user/rootlet-restart.service.in
CLEANFILES += $(USER_UNITS)
$(USER_UNITS): %: $(srcdir)/%.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && sed 's|@bindir[@]|$(bindir)|g' $(srcdir)/$@.in > $@.tmp && mv $@.tmp $@
