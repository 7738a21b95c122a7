noinst_LIBRARIES += src/storage/libstorage.a
src_storage_libstorage_a_SOURCES = src/storage/storage.h 
