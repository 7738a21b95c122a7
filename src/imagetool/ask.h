/* ask - questions to the user at the terminal. */
#pragma once

#include "base/err.h"

/* The line that is typed, without its end; owned. -ECANCELED at ^C or the end of the input. */
int ask_line(const char *prompt, char **ret, struct err *e);
/* As above, and nothing of it is shown. The terminal is as before when it returns. */
int ask_secret(const char *prompt, char **ret, struct err *e);
