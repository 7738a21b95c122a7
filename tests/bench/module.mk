# The bench: rootlet against the kernel's floor, bubblewrap, crun and podman. Not part of make check.
#
#   make bench                                      everything (some minutes; best as root)
#   make bench BENCH_ARGS="--sections start,exec"   see tests/bench/bench.py --help
bench_files = tests/bench/bench.py tests/bench/bridge.py tests/bench/builds.py tests/bench/files.py tests/bench/host.py \
	tests/bench/images.py tests/bench/listing.py tests/bench/maps.py tests/bench/measure.py tests/bench/ports.py tests/bench/pull.py tests/bench/push.py tests/bench/slirp.py tests/bench/tools.py
EXTRA_DIST += $(bench_files)
bench_programs = tests/bench/floor tests/bench/rss
EXTRA_PROGRAMS = $(bench_programs)
tests_bench_floor_SOURCES = tests/bench/floor.c
tests_bench_floor_CFLAGS = $(WARN_CFLAGS) -fPIE
tests_bench_floor_LDFLAGS = -static-pie
tests_bench_rss_SOURCES = tests/bench/rss.c
tests_bench_rss_CFLAGS = $(WARN_CFLAGS) -fPIE
tests_bench_rss_LDFLAGS = -static-pie
CLEANFILES += $(bench_programs)

BENCH_ARGS =
bench: all $(bench_programs)
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) $(srcdir)/tests/bench/bench.py $(BENCH_ARGS) '$(abs_top_builddir)'
.PHONY: bench
