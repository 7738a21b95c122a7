/* test-loop - descriptors, timers, and what callbacks may do to each other. */
#include "base/loop.h"

#include <sys/epoll.h>

#include "base/timefmt.h"
#include "unit.h"

struct world {
    struct loop *loop;
    int a[2], b[2]; /* pipes */
    int calls, other_calls;
    uint32_t events;
    int fresh[2]; /* made by a callback */
};

static void world_make(struct world *w)
{
    struct err e = ERR_INIT;
    *w = (struct world){.loop = loop_new(&e), .fresh = {-1, -1}};
    assert_non_null(w->loop);
    assert_int_equal(pipe2(w->a, O_CLOEXEC), 0);
    assert_int_equal(pipe2(w->b, O_CLOEXEC), 0);
}

static void world_free(struct world *w)
{
    loop_free(w->loop);
    for (int i = 0; i < 2; i++) {
        fd_close(&w->a[i]);
        fd_close(&w->b[i]);
        fd_close(&w->fresh[i]);
    }
}

static void quit(void *data, uint32_t events)
{
    struct world *w = data;
    w->events = events;
    loop_quit(w->loop);
}

static void count(void *data, uint32_t events)
{
    (void)events;
    ((struct world *)data)->other_calls++;
}

static void run(struct world *w)
{
    struct err e = ERR_INIT;
    if (loop_run(w->loop, &e) < 0)
        fail_msg("%s", e.msg);
}

static void test_fd(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    assert_int_equal(loop_fd(w.loop, w.a[0], EPOLLIN, quit, &w, NULL), 0);
    assert_int_equal(write(w.a[1], "x", 1), 1);
    run(&w);
    assert_int_equal(w.events, EPOLLIN);
    assert_int_equal(loop_fd(w.loop, -1, EPOLLIN, quit, &w, NULL), -EBADF);
    assert_int_equal(loop_fd(w.loop, 900, EPOLLIN, quit, &w, NULL), -EBADF);
    world_free(&w);
}

/* A parked descriptor is silent even when its other end hangs up. */
static void test_parked(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    assert_int_equal(loop_fd(w.loop, w.a[0], EPOLLIN, count, &w, NULL), 0);
    assert_int_equal(loop_fd(w.loop, w.a[0], 0, count, &w, NULL), 0);
    fd_close(&w.a[1]);
    assert_true(loop_timer(w.loop, 30, quit, &w, NULL) >= 0);
    run(&w);
    assert_int_equal(w.other_calls, 0);
    assert_int_equal(loop_fd(w.loop, w.a[0], EPOLLIN, quit, &w, NULL), 0);
    run(&w);
    assert_true(w.events & EPOLLHUP);
    world_free(&w);
}

/* Forgets the other pipe, whose event is in the same batch, and reuses its number. */
static void forget_other(void *data, uint32_t events)
{
    struct world *w = data;
    (void)events;
    if (w->calls++ > 0)
        return;
    loop_forget(w->loop, w->b[0]);
    loop_forget(w->loop, w->a[0]);
    int number = w->b[0];
    fd_close(&w->b[0]);
    assert_int_equal(pipe2(w->fresh, O_CLOEXEC), 0);
    if (w->fresh[0] != number) {
        assert_int_equal(dup3(w->fresh[0], number, O_CLOEXEC), number);
        fd_close(&w->fresh[0]);
        w->fresh[0] = number;
    }
    assert_int_equal(loop_fd(w->loop, number, EPOLLIN, count, w, NULL), 0);
}

static void test_forget_in_batch(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    assert_int_equal(loop_fd(w.loop, w.a[0], EPOLLIN, forget_other, &w, NULL), 0);
    assert_int_equal(loop_fd(w.loop, w.b[0], EPOLLIN, forget_other, &w, NULL), 0);
    assert_int_equal(write(w.a[1], "x", 1), 1);
    assert_int_equal(write(w.b[1], "x", 1), 1);
    assert_true(loop_timer(w.loop, 20, quit, &w, NULL) >= 0);
    run(&w);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.other_calls, 0); /* the new pipe of that number has nothing to read */
    world_free(&w);
}

static void test_timers(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    int64_t start = time_monotonic_ns();
    int cancelled = loop_timer(w.loop, 5, count, &w, NULL);
    int kept = loop_timer(w.loop, 10, count, &w, NULL);
    assert_true(loop_timer(w.loop, 40, quit, &w, NULL) >= 0);
    assert_true(loop_timer(w.loop, 60000, count, &w, NULL) >= 0);
    assert_true(cancelled >= 0 && kept >= 0 && cancelled != kept);
    loop_timer_cancel(w.loop, cancelled);
    loop_timer_cancel(w.loop, 12345);
    loop_timer_cancel(w.loop, -1);
    run(&w);
    int64_t ms = (time_monotonic_ns() - start) / 1000000;
    assert_int_equal(w.other_calls, 1);
    assert_true(ms >= 40 && ms < 5000);
    world_free(&w);
}

static void rearm(void *data, uint32_t events)
{
    struct world *w = data;
    (void)events;
    w->calls++;
    loop_timer(w->loop, 0, rearm, w, NULL);
}

/* A timer that sets itself again at once does not keep descriptors waiting. */
static void test_no_starving(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    assert_true(loop_timer(w.loop, 0, rearm, &w, NULL) >= 0);
    assert_int_equal(loop_fd(w.loop, w.a[0], EPOLLIN, quit, &w, NULL), 0);
    assert_int_equal(write(w.a[1], "x", 1), 1);
    run(&w);
    assert_int_equal(w.events, EPOLLIN);
    world_free(&w);
}

/* stdin from a file: epoll(7) refuses it, the loop must not. */
static void test_regular_file(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    struct unit_dir d = unit_dir_make();
    unit_write(d.fd, "f", "data");
    scoped_fd int fd = openat(d.fd, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(loop_fd(w.loop, fd, EPOLLIN, quit, &w, NULL), 0);
    run(&w);
    assert_int_equal(w.events, EPOLLIN);
    assert_int_equal(loop_fd(w.loop, fd, 0, count, &w, NULL), 0);
    assert_true(loop_timer(w.loop, 10, quit, &w, NULL) >= 0);
    run(&w);
    assert_int_equal(w.other_calls, 0);
    unit_dir_remove(&d);
    world_free(&w);
}

static void test_nothing_left(void **state)
{
    (void)state;
    struct world w;
    world_make(&w);
    assert_int_equal(loop_run(w.loop, NULL), -EDEADLK);
    loop_quit(w.loop); /* before the run: it ends at once */
    assert_int_equal(loop_run(w.loop, NULL), 0);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fd),
        cmocka_unit_test(test_parked),
        cmocka_unit_test(test_forget_in_batch),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_no_starving),
        cmocka_unit_test(test_regular_file),
        cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
