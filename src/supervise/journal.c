/* journal - what happens to the container, told to those who watch events. */
#include "supervise/supervise.h"

#include <fcntl.h>
#include <stdint.h>

#include "base/str.h"
#include "base/strv.h"
#include "events/events.h"

void sup_journal(struct sup *s, const char *action, const char *attribute)
{
    char *attributes[] = {(char *)(uintptr_t)attribute, NULL};
    sup_journal_all(s, action, attributes);
}

void sup_journal_all(struct sup *s, const char *action, char *const *given)
{
    scoped_strv char **attributes = strv_dup(given);
    if (s->pod)
        strv_addf(&attributes, "pod=%s", s->pod);
    struct event_entry ev = {.type = "container",
                             .action = action,
                             .id = s->id,
                             .name = s->state.name,
                             .image = s->state.image,
                             .attributes = attributes,
                             .labels = s->state.labels};
    /* RUN_ROOT, which has been checked when our own directory in it was opened. */
    scoped_fd int dir =
        s->run_fd >= 0 ? openat(s->run_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir >= 0)
        event_write_at(dir, &ev);
    else
        event_write(&s->conf, &ev);
}
