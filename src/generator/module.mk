# Where systemd looks for generators of users' units; see rootlet-quadlet(5) for another prefix.
systemdusergenerator_PROGRAMS = rootlet-user-generator
rootlet_user_generator_SOURCES = src/generator/main.c
rootlet_user_generator_LDFLAGS = $(AM_LDFLAGS) $(STATIC_LDFLAGS)
rootlet_user_generator_LDADD = src/quadlet/libquadlet.a src/net/libnet.a src/conf/libconf.a src/base/libbase.a \
	$(JANSSON_LIBS)
