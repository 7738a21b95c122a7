schemadir = $(pkgdatadir)/schema
dist_schema_DATA = data/schema/rootlet-config.schema.json
