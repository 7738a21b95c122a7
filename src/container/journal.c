/* journal - what commands do to containers, told to those who watch. */
#include <stdint.h>

#include "base/str.h"
#include "base/strv.h"
#include "container/container.h"
#include "events/events.h"

void container_event_with(const struct conf *c, const struct ctr_record *rec, const char *action,
                          char *const *attributes)
{
    scoped_strv char **all = strv_dup(attributes);
    if (rec->pod)
        strv_addf(&all, "pod=%s", rec->pod);
    struct event_entry ev = {.type = "container",
                             .action = action,
                             .id = rec->id,
                             .name = rec->name,
                             .image = rec->image,
                             .attributes = all,
                             .labels = rec->labels};
    event_write(c, &ev);
}

void container_event(const struct conf *c, const struct ctr_record *rec, const char *action,
                     const char *attribute)
{
    char *const attributes[] = {(char *)(uintptr_t)attribute, NULL};
    container_event_with(c, rec, action, attributes);
}
