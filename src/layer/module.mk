noinst_LIBRARIES += src/layer/liblayer.a
src_layer_liblayer_a_SOURCES = src/layer/digest.h src/layer/layer.h
