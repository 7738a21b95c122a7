/* write - appending to the journal of events. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "events/events.h"

/* As podman's: ID, Name, Status, Type, Image, time in nanoseconds, Attributes. */
static json_t *event_json(const struct event *ev)
{
    json_t *j = json_object();
    json_object_set_new(j, "timeNano", json_integer(ev->time_ns ? ev->time_ns : time_now_ns()));
    json_object_set_new(j, "Type", json_string(ev->type));
    json_object_set_new(j, "Status", json_string(ev->action));
    if (ev->id)
        json_object_set_new(j, "ID", json_string(ev->id));
    if (ev->name)
        json_object_set_new(j, "Name", json_string(ev->name));
    if (ev->image)
        json_object_set_new(j, "Image", json_string(ev->image));
    if (ev->attributes && *ev->attributes)
        json_object_set_new(j, "Attributes", json_from_pairs(ev->attributes));
    return j;
}

void event_write(const struct conf *c, const struct event *ev)
{
    struct err e = ERR_INIT;
    scoped_json json_t *j = event_json(ev);
    scoped_free char *text = json_text(j, false);
    scoped_free char *line = xasprintf("%s\n", text);
    scoped_fd int dir = conf_open_run(c, "", true, &e);
    scoped_fd int fd =
        dir < 0 ? -1 : openat(dir, "events", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, strlen(line)) < 0)
        log_debug("event %s of %s is lost", ev->action, ev->name ? ev->name : "");
}

void event_container(const struct conf *c, const char *action, const char *id, const char *name,
                     const char *image, const char *attribute)
{
    char *attributes[] = {(char *)(uintptr_t)attribute, NULL};
    struct event ev = {.type = "container",
                       .action = action,
                       .id = id,
                       .name = name,
                       .image = image,
                       .attributes = attribute ? attributes : NULL};
    event_write(c, &ev);
}
