/* layer-model - what a layer's tree must look like, worked out in memory: the oracle of fuzz-layer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "layer/job.h"

struct model;
/* Reads an uncompressed tar, for what was asked of the unpacker. */
struct model *model_read(int tar_fd, const struct layer_request *q);
/* false: it holds something that the model does not want to judge. */
bool model_is_sure(const struct model *m);
/* NULL: the tree is the same; else what is wrong with *ret_path. */
const char *model_compare(struct model *m, int diff_fd, char ret_path[static 4097]);
/* The same for the list of directories that no entry made. */
const char *model_compare_implied(struct model *m, const char *list, size_t len,
                                  char ret_path[static 4097]);
void model_free(struct model *m);
