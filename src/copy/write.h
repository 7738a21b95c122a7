/* write - what the parts of the writing side share. */
#pragma once

#include "copy/copy.h"
#include "copy/message.h"
#include "copy/place.h"

struct copy_writer {
    const struct copy_dest *d;
    int sock;
    char *buf;   /* COPY_MAX_PACKET */
    bool stream; /* a tar */
    bool told;   /* the error is the reading side's */

    struct copy_place at; /* where the top goes */
    char *top_name;       /* in at.dir; NULL: the top is at itself, a directory that was there */
    int top;              /* O_PATH of the top when it is a directory */
    char *top_path;       /* of a container's directory, for the links in it */

    /* The directory in work. */
    int parent;
    char *parent_path; /* below the top; NULL: none */

    /* For the line on the terminal. */
    uint64_t files, bytes;
    int64_t begun_ns, shown_ns;

    /* What was left out or could not be kept, told once each. */
    unsigned n_left_out, n_owners;
    char left_out[300], owner[300];
};

/* The directory that holds p's entry (borrowed), and the name in it (borrowed). */
int copy_locate(struct copy_writer *w, const char *path, int *ret_dir, const char **ret_name,
                struct err *e);
/* What may not be replaced is an error; a directory in the way is removed where that is wanted.
 * Else what is there. */
enum { COPY_FREE, COPY_TAKEN, COPY_MOUNTED };
int copy_make_way(struct copy_writer *w, int dir, const char *name, bool is_dir, struct err *e);
/* entry.c: makes one. */
int copy_write_file(struct copy_writer *w, struct copy_packet *p, struct err *e);
int copy_write_other(struct copy_writer *w, struct copy_packet *p, struct err *e);
int copy_write_dir(struct copy_writer *w, struct copy_packet *p, struct err *e);
int copy_finish_dir(struct copy_writer *w, struct copy_packet *p, struct err *e);

void copy_leave_out(struct copy_writer *w, const char *path, const char *why);
void copy_tick_line(void *data, uint64_t bytes);
void copy_clear_line(struct copy_writer *w);
