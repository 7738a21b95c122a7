noinst_LIBRARIES += src/security/libsecurity.a
src_security_libsecurity_a_SOURCES = \
	src/security/caps.c src/security/caps.h \
	src/security/limits.c src/security/limits.h \
	src/security/lsm.c src/security/lsm.h \
	src/security/secopt.c src/security/secopt.h \
	src/security/seccomp.h
