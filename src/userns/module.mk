noinst_LIBRARIES += src/userns/libuserns.a
src_userns_libuserns_a_SOURCES = src/userns/userns.h 
