noinst_LIBRARIES += src/events/libevents.a
src_events_libevents_a_SOURCES = src/events/events.h src/events/write.c src/events/read.c \
	src/events/filter.c
