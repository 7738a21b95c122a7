/* What gen-seccomp wrote from data/seccomp when rootlet was built. */
#include "security/builtin.h"

#include "security/builtin.inc"
