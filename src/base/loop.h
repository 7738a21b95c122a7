/* loop - one epoll loop: descriptors, signals by signalfd, timers by the wait's
 * own limit. No threads. Regular files, which epoll does not take, count as always ready. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct loop;
typedef void loop_fn(void *data, uint32_t events); /* events as EPOLLIN... ; timers: 0 */

struct loop *loop_new(struct err *e);
void loop_free(struct loop *l);
/* Watches fd (not owned); replaces an earlier watch of the same fd. events 0 parks it. */
int loop_fd(struct loop *l, int fd, uint32_t events, loop_fn *fn, void *data, struct err *e);
void loop_forget(struct loop *l, int fd); /* before closing it; safe inside callbacks */
/* Calls fn once after ms; returns an id >= 0. */
int loop_timer(struct loop *l, uint64_t ms, loop_fn *fn, void *data, struct err *e);
void loop_timer_cancel(struct loop *l, int id);
int loop_run(struct loop *l, struct err *e); /* until loop_quit; -EDEADLK: nothing left */
void loop_quit(struct loop *l);
