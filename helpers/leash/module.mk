# Static: nothing but a wait.
pkglibexec_PROGRAMS += rootlet-leash
rootlet_leash_SOURCES = helpers/leash/leash.c
rootlet_leash_CFLAGS = $(WARN_CFLAGS) -fPIE -fstack-protector-strong
rootlet_leash_LDFLAGS = -static-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
