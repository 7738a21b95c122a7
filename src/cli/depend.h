/* depend - which containers live in the namespaces of others. */
#pragma once

#include "base/err.h"

/* The names and, before each, the ids of all that share its namespaces, and theirs; owned. A name
 * that there is no container of stays. */
int cli_dependents(char **names, char ***ret, struct err *e);
