/* The profiles' own texts, which gen-seccomp --text wrote. */
#include "security/builtin.h"

#include "security/builtin-text.inc"
