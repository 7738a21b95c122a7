/* progress - what a transfer of layers tells while it works, on stderr: bars that are drawn over on
 * a terminal, one line per layer elsewhere, nothing when quiet.
 *
 * Only what is under way has a bar; what is done becomes a line that stays above. So the bars never
 * need more rows than there are transfers at a time, and the screen scrolls as by any output. Each
 * picture is one write, and nothing is cleared before it is overwritten: bars do not flicker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress;
struct progress *progress_new(bool quiet);
/* Leaves the terminal with the bars gone and the cursor at the start of a line. NULL is fine. */
void progress_free(struct progress *p);
static inline void progress_scoped(struct progress **p)
{
    progress_free(*p);
}

/* For a signal handler that ends the process: the bars go, and none is drawn any more. */
void progress_abandon(void);

/* A line that stays. Names from a registry are escaped here. */
void progress_line(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum progress_state {
    PROGRESS_QUEUED,
    PROGRESS_FOREIGN, /* another process transfers it */
    PROGRESS_MOVING,
    PROGRESS_UNPACKING,
    PROGRESS_DONE,    /* these two are final */
    PROGRESS_SKIPPED, /* it is there already */
};
/* One more transfer; what: "blob", "config". Returns its number. total 0: not known. */
unsigned progress_add(struct progress *p, const char *what, const char *digest, uint64_t total);
void progress_set(struct progress *p, unsigned number, enum progress_state state, uint64_t done);

/* Draws when the last picture is old enough. */
void progress_draw(struct progress *p);
/* How long to wait for before the next call of progress_draw makes sense; -1: no need. */
int progress_wait_ms(const struct progress *p);
