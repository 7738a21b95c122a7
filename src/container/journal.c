/* journal - what commands do to containers, told to those who watch. */
#include <stdint.h>

#include "base/str.h"
#include "container/container.h"
#include "events/events.h"

void container_event(const struct conf *c, const struct ctr_record *rec, const char *action,
                     const char *attribute)
{
    scoped_free char *pod = rec->pod ? xasprintf("pod=%s", rec->pod) : NULL;
    char *attributes[3] = {NULL};
    size_t n = 0;
    if (attribute)
        attributes[n++] = (char *)(uintptr_t)attribute;
    if (pod)
        attributes[n] = pod;
    struct event_entry ev = {.type = "container",
                             .action = action,
                             .id = rec->id,
                             .name = rec->name,
                             .image = rec->image,
                             .attributes = attributes,
                             .labels = rec->labels};
    event_write(c, &ev);
}
