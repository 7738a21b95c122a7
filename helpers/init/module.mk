# Static (it runs in images of every libc), so without the sanitizers' shared runtime.
pkglibexec_PROGRAMS += rootlet-init
rootlet_init_SOURCES = helpers/init/init.c
rootlet_init_CFLAGS = $(WARN_CFLAGS) -fPIE -fstack-protector-strong
rootlet_init_LDFLAGS = -static-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
