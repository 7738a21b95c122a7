/* logs: the file driver, both ways. B19 */
#include "unit.h"

#include <poll.h>
#include <sys/wait.h>

#include "base/strv.h"
#include "base/timefmt.h"
#include "logs/logs.h"

static struct unit_dir dir;
static int dir_fd;

static int setup(void **state)
{
    (void)state;
    dir = unit_dir_make();
    dir_fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&dir_fd);
    unit_dir_remove(&dir);
    return 0;
}

static struct log_writer *open_writer(char **opts)
{
    struct err e = ERR_INIT;
    struct log_writer *w = NULL;
    if (log_writer_open("k8s-file", &(struct log_ident){.dir_fd = dir_fd, .opts = opts}, &w, &e) <
        0)
        fail_msg("%s", e.msg);
    return w;
}

static void add(struct log_writer *w, enum log_stream s, const char *text)
{
    log_writer_write(w, s, text, strlen(text));
}

static struct log_read all(void)
{
    return (struct log_read){.ident.dir_fd = dir_fd, .tail = -1, .stop_fd = -1};
}

/* What a read gives on each stream; owned texts. */
static void read_back(struct log_read o, char **ret_out, char **ret_err)
{
    struct err e = ERR_INIT;
    scoped_fd int out = open(dir.path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    scoped_fd int err = open(dir.path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    o.out_fd = out;
    o.err_fd = err;
    if (log_read("k8s-file", &o, &e) < 0)
        fail_msg("%s", e.msg);
    lseek(out, 0, SEEK_SET);
    lseek(err, 0, SEEK_SET);
    assert_true(fs_read_fd(out, 64 << 20, ret_out, &e) >= 0);
    assert_true(fs_read_fd(err, 64 << 20, ret_err, &e) >= 0);
}

static void check_read(struct log_read o, const char *want_out, const char *want_err)
{
    scoped_free char *out = NULL, *err = NULL;
    read_back(o, &out, &err);
    assert_string_equal(out, want_out);
    assert_string_equal(err, want_err);
}

static void test_streams(void **state)
{
    (void)state;
    struct log_writer *w = open_writer(NULL);
    add(w, LOG_STDOUT, "one\ntwo\n");
    add(w, LOG_STDERR, "bad\n");
    add(w, LOG_STDOUT, "par");
    add(w, LOG_STDERR, "wo");
    add(w, LOG_STDOUT, "tial\n\nlast");
    add(w, LOG_STDERR, "rse\n");
    log_writer_close(w);
    check_read(all(), "one\ntwo\npartial\n\nlast", "bad\nworse\n");
    struct log_read only_err = all();
    scoped_free char *out = NULL, *err = NULL;
    read_back(only_err, &out, &err);
    /* The form that other tools read. */
    struct err e = ERR_INIT;
    scoped_free char *raw = NULL;
    assert_true(fs_read(dir_fd, "log", 1 << 20, &raw, &e) > 0);
    assert_has(raw, " stdout F one\n");
    assert_has(raw, " stdout P par\n");
    assert_has(raw, " stdout F tial\n");
    assert_has(raw, " stdout F \n");
    assert_has(raw, " stderr P wo\n");
    int64_t ns;
    raw[strcspn(raw, " ")] = '\0';
    assert_int_equal(time_parse(raw, &ns), 0);
    assert_true(time_now_ns() - ns < INT64_C(10000000000));
    struct stat st;
    assert_int_equal(fstatat(dir_fd, "log", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Earlier runs of the same container stay. */
static void test_runs(void **state)
{
    (void)state;
    struct log_writer *w = open_writer(NULL);
    add(w, LOG_STDOUT, "first\n");
    log_writer_close(w);
    w = open_writer(NULL);
    add(w, LOG_STDOUT, "second\n");
    log_writer_close(w);
    check_read(all(), "first\nsecond\n", "");
}

/* Every byte comes back, whatever the lines are like; no record is longer than it may be. */
static void test_binary(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    scoped_free char *data = xmalloc(SIZE + 1);
    uint32_t x = 1;
    for (size_t i = 0; i < SIZE; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (char)(x >> 24);
        if (data[i] == '\n' && i > SIZE / 3 && i < 2 * SIZE / 3) /* and lines of a megabyte */
            data[i] = 'n';
        if (data[i] == '\0')
            data[i] = '0';
    }
    data[SIZE] = '\0';
    struct log_writer *w = open_writer(NULL);
    for (size_t at = 0; at < SIZE;) {
        size_t n = 1 + at * 7919 % (32 << 10);
        n = n < SIZE - at ? n : SIZE - at;
        log_writer_write(w, LOG_STDOUT, data + at, n);
        at += n;
    }
    log_writer_close(w);
    check_read(all(), data, "");
    struct err e = ERR_INIT;
    scoped_free char *raw = NULL;
    assert_true(fs_read(dir_fd, "log", 64 << 20, &raw, &e) > 0);
    for (char *p = raw, *lf; (lf = strchr(p, '\n')); p = lf + 1)
        assert_true((size_t)(lf - p) < LOGS_MAX_TEXT + 64);
}

static void test_tail(void **state)
{
    (void)state;
    struct log_writer *w = open_writer(NULL);
    struct log_read o = all();
    scoped_str struct str last = STR_INIT;
    for (int i = 0; i < 20000; i++) {
        char line[64];
        snprintf(line, sizeof(line), "this is line %d\n", i);
        add(w, i % 2 ? LOG_STDERR : LOG_STDOUT, line);
    }
    o.tail = 1;
    check_read(o, "", "this is line 19999\n");
    o.tail = 3;
    check_read(o, "this is line 19998\n", "this is line 19997\nthis is line 19999\n");
    o.tail = 0;
    check_read(o, "", "");
    add(w, LOG_STDOUT, "no end");
    o.tail = 1;
    check_read(o, "no end", "this is line 19999\n");
    for (int64_t n = 10000; n <= 30000; n += 10000) {
        scoped_free char *out = NULL, *err = NULL;
        o.tail = n;
        read_back(o, &out, &err);
        size_t lines = 0;
        for (char *p = out; *p; p++)
            lines += *p == '\n';
        for (char *p = err; *p; p++)
            lines += *p == '\n';
        assert_int_equal(lines, n < 20000 ? n : 20000);
    }
    log_writer_close(w);
}

static void test_times(void **state)
{
    (void)state;
    unit_write(dir_fd, "log",
               "2026-01-01T10:00:00.000000001+00:00 stdout F a\n"
               "2026-01-01T12:00:00.000000002+01:00 stdout P b\n"
               "rubbish\n"
               "2026-01-01T13:00:00.5Z stdout F c\n"
               "2026-01-01T14:00:00Z stderr F d\n"
               "2026-01-01T14:00:00Z stdout F cut");
    struct log_read o = all();
    o.timestamps = true;
    check_read(o,
               "2026-01-01T10:00:00.000000001+00:00 a\n"
               "2026-01-01T12:00:00.000000002+01:00 bc\n",
               "2026-01-01T14:00:00Z d\n");
    o = all();
    assert_int_equal(time_parse("2026-01-01T10:30:00Z", &o.since_ns), 0);
    check_read(o, "bc\n", "d\n");
    assert_int_equal(time_parse("2026-01-01T13:30:00Z", &o.until_ns), 0);
    check_read(o, "bc\n", "");
    o.since_ns = 0;
    assert_int_equal(time_parse("2026-01-01T10:30:00Z", &o.until_ns), 0);
    check_read(o, "a\n", "");
}

static void test_rotation(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char **opts = ARGV("max-size=1k", "max-file=3");
    struct log_writer *w = open_writer(opts);
    for (int i = 0; i < 1000; i++) {
        char line[32];
        snprintf(line, sizeof(line), "line %d\n", i);
        add(w, LOG_STDOUT, line);
    }
    log_writer_close(w);
    struct stat st;
    static const char *const files[] = {"log", "log.1", "log.2"};
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        assert_int_equal(fstatat(dir_fd, files[i], &st, 0), 0);
        assert_true(st.st_size <= 1024);
    }
    assert_int_equal(fstatat(dir_fd, "log.3", &st, 0), -1);
    struct log_read o = all();
    o.ident.opts = opts;
    scoped_free char *out = NULL, *err = NULL;
    read_back(o, &out, &err);
    assert_has(out, "line 999\n");
    assert_has(out, "line 960\n");
    assert_null(strstr(out, "line 100\n"));
    int expect = (int)strtol(out + 5, NULL, 10); /* in order and without a gap over the files */
    for (char *p = out; *p; p = strchr(p, '\n') + 1)
        assert_int_equal(strtol(p + 5, NULL, 10), expect++);
    assert_int_equal(expect, 1000);
    o.tail = 30; /* over the border of two files */
    scoped_free char *out2 = NULL, *err2 = NULL;
    read_back(o, &out2, &err2);
    assert_int_equal(strncmp(out2, "line 970\n", 9), 0);
    (void)e;
}

/* A writer in another process, a reader that follows it over a rotation until its end. */
static void test_follow(void **state)
{
    (void)state;
    char **opts = ARGV("max-size=2k", "max-file=50");
    int stop[2];
    assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
    struct log_writer *w = open_writer(opts);
    add(w, LOG_STDOUT, "line 0\n");
    pid_t pid = fork();
    if (pid == 0) {
        close(stop[0]);
        for (int i = 1; i < 500; i++) {
            char line[32];
            snprintf(line, sizeof(line), "line %d\n", i);
            add(w, LOG_STDOUT, line);
            if (i % 50 == 0)
                poll(NULL, 0, 5);
        }
        _exit(0); /* closes stop[1], as the supervisor's end closes its socket */
    }
    close(stop[1]);
    struct log_read o = all();
    o.ident.opts = opts;
    o.follow = true;
    o.stop_fd = stop[0];
    scoped_free char *out = NULL, *err = NULL;
    read_back(o, &out, &err);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    log_writer_close(w);
    int expect = 0;
    for (char *p = out; *p; p = strchr(p, '\n') + 1)
        assert_int_equal(strtol(p + 5, NULL, 10), expect++);
    assert_int_equal(expect, 500);
    close(stop[0]);
}

static void test_drivers(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct log_writer *w = NULL;
    struct log_ident here = {.dir_fd = dir_fd};
    assert_int_equal(log_writer_open("syslog", &here, &w, &e), -EINVAL);
    assert_has(e.msg, "k8s-file");
    assert_int_equal(log_writer_open("none", &here, &w, &e), 0);
    add(w, LOG_STDOUT, "x\n");
    log_writer_reopen(w);
    log_writer_close(w);
    struct stat st;
    assert_int_equal(fstatat(dir_fd, "log", &st, 0), -1);
    struct log_read o = all();
    assert_int_equal(log_read("none", &o, &e), -EOPNOTSUPP);
    assert_int_equal(log_opts_check(NULL, ARGV("max-size=10m", "max-file=2"), &e), 0);
    static const char *const bad[] = {"max-size=x", "max-file=0", "max-file=101", "path=rel",
                                      "a=b"};
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        assert_true(log_opts_check("k8s-file", ARGV(bad[i]), &e) < 0);
    /* Not into a link, nor anything but a file. */
    assert_int_equal(symlinkat("/etc/passwd", dir_fd, "log"), 0);
    assert_true(log_writer_open("k8s-file", &here, &w, &e) < 0);
    assert_int_equal(unlinkat(dir_fd, "log", 0), 0);
    assert_int_equal(mkfifoat(dir_fd, "log", 0600), 0);
    assert_true(log_writer_open("k8s-file", &here, &w, &e) < 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_streams), T(test_runs),     T(test_binary), T(test_tail),
        T(test_times),   T(test_rotation), T(test_follow), T(test_drivers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
