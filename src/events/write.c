/* write - appending to the journal of events. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "events/events.h"

/* A longer line goes without labels. */
#define LINE_MAX_BYTES (64u << 10)
/* Labels are an image's and may be any size: of all that fits here, or a few events of such a
 * container would drive the others out of the journal. */
#define LABELS_MAX_BYTES 4096

static void add_pairs(json_t *to, char *const *pairs)
{
    scoped_json json_t *o = json_from_pairs(pairs);
    json_object_update(to, o);
}

static void add_labels(json_t *to, char *const *labels)
{
    scoped_strv char **some = NULL;
    size_t bytes = 0;
    for (; labels && *labels; labels++) {
        size_t n = strlen(*labels) + sizeof("\"\":\"\",") - 1;
        if (bytes + n > LABELS_MAX_BYTES)
            continue;
        bytes += n;
        strv_add(&some, *labels);
    }
    add_pairs(to, some);
}

/* timeNano stands first: that is how the reader finds the begin of a line. */
static char *event_line(const struct event_entry *ev, bool with_labels)
{
    scoped_json json_t *j = json_object();
    json_t *attributes = json_object();
    json_object_set_new(j, "timeNano", json_integer(ev->time_ns ? ev->time_ns : time_now_ns()));
    json_object_set_new(j, "Type", json_string(ev->type));
    json_object_set_new(j, "Status", json_string(ev->action));
    if (ev->id)
        json_object_set_new(j, "ID", json_string(ev->id));
    if (ev->name)
        json_object_set_new(j, "Name", json_from_bytes(ev->name));
    if (ev->image)
        json_object_set_new(j, "Image", json_from_bytes(ev->image));
    /* What we say goes before what an image says under the same name. */
    if (with_labels)
        add_labels(attributes, ev->labels);
    add_pairs(attributes, ev->attributes);
    if (json_object_size(attributes))
        json_object_set(j, "Attributes", attributes);
    json_decref(attributes);
    scoped_free char *text = json_text(j, false);
    return xasprintf("%s\n", text);
}

/* The lock is the file's: whoever holds it is the only one who may rename this file, and only while
 * it still has the name. Those who have it open go on writing to it; readers look there too. */
static void rotate(int dir_fd, int fd)
{
    struct stat ours, there;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &ours) < 0 ||
        fstatat(dir_fd, EVENTS_FILE, &there, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
        renameat(dir_fd, EVENTS_FILE, dir_fd, EVENTS_OLD);
}

void event_write_at(int run_root_fd, const struct event_entry *ev)
{
    scoped_free char *line = event_line(ev, true);
    if (strlen(line) > LINE_MAX_BYTES) {
        free(line);
        line = event_line(ev, false);
    }
    size_t len = strlen(line);
    scoped_fd int fd = openat(run_root_fd, EVENTS_FILE,
                              O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, line, len);
    if (n != (ssize_t)len)
        log_debug("event %s of %s is lost", ev->action, ev->name ? ev->name : "");
    if (n > 0 && lseek(fd, 0, SEEK_CUR) >= EVENTS_MAX)
        rotate(run_root_fd, fd);
}

void event_write(const struct conf *c, const struct event_entry *ev)
{
    struct err e = ERR_INIT;
    scoped_fd int dir = conf_open_run(c, "", true, &e);
    if (dir < 0)
        log_debug("event %s of %s is lost: %s", ev->action, ev->name ? ev->name : "", e.msg);
    else
        event_write_at(dir, ev);
}

void event_container(const struct conf *c, const char *action, const char *id, const char *name,
                     const char *image, const char *attribute)
{
    char *attributes[] = {(char *)(uintptr_t)attribute, NULL};
    struct event_entry ev = {.type = "container",
                             .action = action,
                             .id = id,
                             .name = name,
                             .image = image,
                             .attributes = attribute ? attributes : NULL};
    event_write(c, &ev);
}

void event_named(const struct conf *c, const char *type, const char *action, const char *id,
                 const char *name)
{
    struct event_entry ev = {.type = type, .action = action, .id = id, .name = name};
    event_write(c, &ev);
}
