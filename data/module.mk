schemadir = $(pkgdatadir)/schema
dist_schema_DATA = data/schema/rootlet-config.schema.json

# Completions, written by man/generate.py. bash loads the file that is named as the program.
dist_zshcomp_DATA = data/completions/_rootlet data/completions/_rootlet-oci
dist_fishcomp_DATA = data/completions/rootlet.fish data/completions/rootlet-oci.fish
dist_bashcomp_DATA = data/completions/rootlet data/completions/rootlet-oci
