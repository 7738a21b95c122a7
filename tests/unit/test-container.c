/* container: records, names, lookup, listing, derived states, removal. A64 B3 B9 B47 */
#include "unit.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "base/lock.h"
#include "base/proc.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "container/container-priv.h"

struct fix {
    struct unit_dir dir;
    char root[80], run[80];
    struct conf conf;
};

static int setup(void **state)
{
    struct fix *f = xcalloc(1, sizeof(*f));
    f->dir = unit_dir_make();
    snprintf(f->root, sizeof(f->root), "%s/root", f->dir.path);
    snprintf(f->run, sizeof(f->run), "%s/run", f->dir.path);
    f->conf.root = f->root;
    f->conf.run_root = f->run;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;
    unit_dir_remove(&f->dir);
    free(f);
    return 0;
}

static int try_create(struct fix *f, const char *name, const char *id, char *ret_id, struct err *e)
{
    scoped_spec struct spec spec = {.oci_version = NULL};
    spec_default(&spec);
    struct ctr_record rec = {.name = xstrdup(name), .id = xstrdup(id), .image = xstrdup("img:1")};
    strv_add(&rec.command, "/bin/sh");
    strv_add(&rec.command, "-c");
    strv_add(&rec.labels, "a=b=c");
    int r = container_create(&f->conf, &rec, &spec, NULL, NULL, e);
    if (r >= 0 && ret_id)
        memcpy(ret_id, rec.id, ID_LEN + 1);
    ctr_record_release(&rec);
    if (r < 0)
        return r;
    close(r);
    return 0;
}

static void create(struct fix *f, const char *name, char *ret_id)
{
    struct err e = ERR_INIT;
    if (try_create(f, name, NULL, ret_id, &e) < 0)
        fail_msg("%s", e.msg);
}

static void open_ok(struct fix *f, const char *ref, struct container *ret)
{
    struct err e = ERR_INIT;
    if (container_open(&f->conf, ref, ret, &e) < 0)
        fail_msg("%s", e.msg);
}

static bool is_there(struct fix *f, const char *fmt, const char *arg)
{
    scoped_free char *path = NULL;
    scoped_str struct str s = STR_INIT;
    str_addf(&s, "%s/%s/%s", f->root, fmt, arg);
    path = str_detach(&s);
    return entry_exists(AT_FDCWD, path);
}

static void test_create_and_find(void **state)
{
    struct fix *f = *state;
    char id[ID_LEN + 1], ref[ID_LEN + 1];
    create(f, "web", id);
    struct container c;
    open_ok(f, "web", &c);
    assert_string_equal(c.id, id);
    assert_string_equal(c.rec.name, "web");
    assert_string_equal(c.rec.labels[0], "a=b=c");
    assert_int_equal(c.state.status, CTR_CREATED);
    assert_string_equal(c.state.command, "/bin/sh -c");
    assert_int_equal(c.state.created_ns, c.rec.created_ns);
    container_release(&c);

    for (size_t n = 1; n <= ID_LEN; n += 21) {
        memcpy(ref, id, n);
        ref[n] = '\0';
        open_ok(f, ref, &c);
        container_release(&c);
    }
    struct stat st;
    const char *dirs[] = {"", "/containers", "/names"};
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        scoped_free char *path = xasprintf("%s%s", f->root, dirs[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
    }
    scoped_free char *dir = container_dir(&f->conf, id);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_not_found(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    struct container c;
    assert_int_equal(container_open(&f->conf, "web", &c, &e), -ENOENT);
    assert_has(e.msg, "no such container: \"web\"");
    create(f, "database", NULL);
    err_clear(&e);
    assert_int_equal(container_open(&f->conf, "databse", &c, &e), -ENOENT);
    assert_has(e.hint, "database");
    assert_int_equal(container_open(&f->conf, "", &c, &e), -EINVAL);
    assert_int_equal(container_open(&f->conf, "../names", &c, &e), -ENOENT);
}

static void test_ambiguous(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    char a[ID_LEN + 1], b[ID_LEN + 1], short_ref[4];
    id_random(a);
    memcpy(b, a, sizeof(b));
    b[ID_LEN - 1] = b[ID_LEN - 1] == '0' ? '1' : '0';
    assert_int_equal(try_create(f, "one", a, NULL, &e), 0);
    assert_int_equal(try_create(f, "two", b, NULL, &e), 0);
    struct container c;
    memcpy(short_ref, a, 3);
    short_ref[3] = '\0';
    assert_int_equal(container_open(&f->conf, short_ref, &c, &e), -EEXIST);
    open_ok(f, a, &c);
    assert_string_equal(c.id, a);
    container_release(&c);
    /* A name wins over the beginning of an id. */
    assert_int_equal(try_create(f, short_ref, NULL, NULL, &e), 0);
    open_ok(f, short_ref, &c);
    assert_string_equal(c.rec.name, short_ref);
    container_release(&c);
}

static void test_names(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    char id[ID_LEN + 1];
    create(f, "web", id);
    assert_int_equal(try_create(f, "web", NULL, NULL, &e), -EEXIST);
    assert_has(e.msg, "already in use");
    assert_int_equal(try_create(f, "-web", NULL, NULL, &e), -EINVAL);
    assert_int_equal(try_create(f, "a/b", NULL, NULL, &e), -EINVAL);
    struct ctr_state *v;
    size_t n;
    assert_int_equal(container_list(&f->conf, &v, &n, &e), 0);
    assert_int_equal(n, 1); /* the refused ones have left nothing */
    container_list_free(v, n);

    /* Unnamed ones get names that differ. */
    for (int i = 0; i < 20; i++)
        create(f, NULL, NULL);
    struct container c;
    open_ok(f, "web", &c);
    assert_int_equal(container_rename(&f->conf, &c, "shop", &e), 0);
    container_release(&c);
    assert_int_equal(container_open(&f->conf, "web", &c, &e), -ENOENT);
    open_ok(f, "shop", &c);
    assert_string_equal(c.state.name, "shop");
    assert_int_equal(container_rename(&f->conf, &c, "a b", &e), -EINVAL);
    container_release(&c);
    create(f, "web", NULL);
}

/* A name whose container is gone, as an interrupted command leaves it, can be had. */
static void test_stale_name(void **state)
{
    struct fix *f = *state;
    char id[ID_LEN + 1];
    create(f, "first", NULL);
    id_random(id);
    scoped_free char *link = xasprintf("%s/names/web", f->root);
    assert_int_equal(symlink(id, link), 0);
    struct container c;
    struct err e = ERR_INIT;
    assert_int_equal(container_open(&f->conf, "web", &c, &e), -ENOENT);
    create(f, "web", NULL);
}

static int fail_prepare(const char *dir, struct ctr_record *rec, void *data, struct err *e)
{
    (void)rec;
    scoped_free char *file = xasprintf("%s/upper", dir);
    assert_int_equal(mkdir(file, 0700), 0);
    *(bool *)data = true;
    return err_set(e, ENOSPC, "prepare");
}

static int good_prepare(const char *dir, struct ctr_record *rec, void *data, struct err *e)
{
    (void)data, (void)e;
    rec->storage.driver = xstrdup("overlay");
    rec->storage.upper = xasprintf("%s/upper", dir);
    rec->storage.work = xasprintf("%s/work", dir);
    assert_int_equal(mkdir(rec->storage.upper, 0700), 0);
    return 0;
}

static void test_prepare(void **state)
{
    struct fix *f = *state;
    scoped_spec struct spec spec = {.oci_version = NULL};
    spec_default(&spec);
    struct err e = ERR_INIT;
    bool called = false;
    struct ctr_record rec = {.name = xstrdup("web")};
    assert_int_equal(container_create(&f->conf, &rec, &spec, fail_prepare, &called, &e), -ENOSPC);
    assert_true(called);
    assert_false(is_there(f, "names", "web"));
    scoped_free char *tmp = xasprintf(".tmp-%s", rec.id);
    assert_false(is_there(f, "containers", tmp));
    ctr_record_release(&rec);

    rec = (struct ctr_record){.name = xstrdup("web")};
    int dir_fd = container_create(&f->conf, &rec, &spec, good_prepare, NULL, &e);
    assert_true(dir_fd >= 0);
    close(dir_fd);
    scoped_free char *want = xasprintf("%s/containers/%s/upper", f->root, rec.id);
    assert_string_equal(rec.storage.upper, want);
    assert_int_equal(access(want, F_OK), 0);
    struct container c;
    open_ok(f, "web", &c);
    assert_string_equal(c.rec.storage.upper, want);
    assert_string_equal(c.state.rootfs, want);
    container_release(&c);
    ctr_record_release(&rec);
}

/* B9: the members that scripts look for are always there. */
static void test_state_members(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    char id[ID_LEN + 1];
    create(f, "web", id);
    scoped_free char *path = xasprintf("%s/containers/%s/state.json", f->root, id), *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, 1 << 20, &text, &e);
    assert_true(n > 0);
    scoped_json json_t *j = json_parse(text, (size_t)n, 1 << 20, "state.json", &e);
    static const char *const keys[] = {"id",         "uuid",        "pid",
                                       "namespaces", "cgroup_path", "rootfs",
                                       "status",     "started_at",  "finished_at"};
    for (size_t i = 0; i < N_ELEMENTS(keys); i++)
        assert_non_null(json_object_get(j, keys[i]));
    assert_string_equal(json_string_value(json_object_get(j, "status")), "created");
}

/* Writes a live state: that of our own process, with whatever is changed about it. */
static void write_running(struct fix *f, const char *id, const char *boot, pid_t pid,
                          uint64_t start_offset)
{
    struct err e = ERR_INIT;
    scoped_free char *dir = container_dir(&f->conf, id);
    scoped_fd int fd = fs_open_dir(dir, false, 0700, &e);
    struct ctr_state s;
    char boot_id[40];
    assert_int_equal(container_read_state(fd, &s, &e), 0);
    assert_int_equal(proc_boot_id(boot_id), 0);
    s.status = CTR_RUNNING;
    free(s.boot_id);
    s.boot_id = xstrdup(boot ? boot : boot_id);
    s.supervisor_pid = pid;
    s.supervisor_start = 1;
    (void)!proc_start_time(pid, &s.supervisor_start);
    s.supervisor_start += start_offset;
    s.started_ns = 42;
    assert_int_equal(container_write_state(fd, &s, &e), 0);
    ctr_state_release(&s);
}

static void check_derived(struct fix *f, const char *id, enum ctr_status status, const char *reason)
{
    struct container c;
    open_ok(f, id, &c);
    assert_int_equal(c.state.status, status);
    if (reason) {
        assert_has(c.state.reason, reason);
        assert_int_equal(c.state.pid, 0);
        assert_int_equal(c.state.finished_ns, 42);
    }
    container_release(&c);
}

static void test_derive(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    char id[ID_LEN + 1];
    create(f, "web", id);
    write_running(f, id, NULL, getpid(), 0);
    check_derived(f, id, CTR_RUNNING, NULL);
    write_running(f, id, "00000000-0000-4000-8000-000000000000", getpid(), 0);
    check_derived(f, id, CTR_EXITED, "restarted");
    write_running(f, id, NULL, getpid(), 1); /* the number belongs to another process now */
    check_derived(f, id, CTR_EXITED, "supervisor was killed");
    write_running(f, id, NULL, 0x3fffffff, 0);
    check_derived(f, id, CTR_EXITED, "supervisor was killed");

    /* Not to be seen from here, but it holds the lock. */
    int lock_fd = container_lock(&f->conf, id, &e);
    assert_true(lock_fd >= 0);
    check_derived(f, id, CTR_RUNNING, NULL);
    assert_int_equal(container_lock(&f->conf, id, &e), -EWOULDBLOCK);
    close(lock_fd);
    check_derived(f, id, CTR_EXITED, "supervisor was killed");
}

/* A process that has ended but was not waited for keeps its number and start time. */
static void test_derive_zombie(void **state)
{
    struct fix *f = *state;
    char id[ID_LEN + 1];
    create(f, "web", id);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t si;
    assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
    write_running(f, id, NULL, pid, 0);
    check_derived(f, id, CTR_EXITED, "supervisor was killed");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_survivor(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    char id[ID_LEN + 1];
    create(f, "web", id);
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    write_running(f, id, NULL, 0x3fffffff, 0);
    scoped_free char *dir = container_dir(&f->conf, id);
    scoped_fd int fd = fs_open_dir(dir, false, 0700, &e);
    struct ctr_state s;
    assert_int_equal(container_read_state(fd, &s, &e), 0);
    s.pid = pid;
    assert_int_equal(proc_start_time(pid, &s.pid_start), 0);
    s.pid_start++;
    assert_int_equal(container_write_state(fd, &s, &e), 0);
    assert_int_equal(container_end_survivor(fd, &e), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* another one of that number is spared */
    s.pid_start--;
    assert_int_equal(container_write_state(fd, &s, &e), 0);
    ctr_state_release(&s);
    struct container c;
    open_ok(f, "web", &c);
    assert_true(ctr_state_unsupervised(&c.state));
    assert_int_equal(container_remove(&f->conf, &c, true, &e), -EBUSY);
    c.state.status = CTR_EXITED; /* as with force */
    assert_int_equal(container_remove(&f->conf, &c, true, &e), 0);
    container_release(&c);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_remove(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    char id[ID_LEN + 1];
    create(f, "web", id);
    struct container c;
    write_running(f, id, NULL, getpid(), 0);
    open_ok(f, "web", &c);
    assert_int_equal(container_remove(&f->conf, &c, true, &e), -EBUSY);
    container_release(&c);
    write_running(f, id, NULL, 0x3fffffff, 0);
    open_ok(f, "web", &c);
    assert_int_equal(container_remove(&f->conf, &c, true, &e), 0);
    assert_false(is_there(f, "containers", id));
    assert_false(is_there(f, "names", "web"));
    scoped_free char *run = xasprintf("%s/%s", f->run, id);
    assert_false(entry_exists(AT_FDCWD, run));
    assert_int_equal(container_remove(&f->conf, &c, true, &e), -ENOENT);
    assert_false(entry_exists(AT_FDCWD, run));
    container_release(&c);
}

/* What commands leave that are killed: the next one that lists takes it away. */
static void test_sweep(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    char id[ID_LEN + 1], busy[ID_LEN + 1];
    create(f, "web", id);
    create(f, "shop", busy);
    scoped_free char *from = container_dir(&f->conf, id);
    scoped_free char *to = xasprintf("%s/containers/.rm-%s", f->root, id);
    assert_int_equal(rename(from, to), 0);
    scoped_free char *busy_from = container_dir(&f->conf, busy);
    scoped_free char *busy_to = xasprintf("%s/containers/.tmp-%s", f->root, busy);
    assert_int_equal(rename(busy_from, busy_to), 0);
    scoped_fd int working = open(busy_to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(working, LOCK_EX), 0);

    struct ctr_state *v;
    size_t n;
    assert_int_equal(container_list(&f->conf, &v, &n, &e), 0);
    assert_int_equal(n, 0);
    assert_false(entry_exists(AT_FDCWD, to));
    assert_false(is_there(f, "names", "web"));
    assert_true(entry_exists(AT_FDCWD, busy_to)); /* somebody works on this one */
    assert_int_equal(try_create(f, "shop", NULL, NULL, &e), -EEXIST);
    fd_close(&working);
    create(f, "shop", NULL);
    assert_false(entry_exists(AT_FDCWD, busy_to));
}

/* Broken records: listed as dead with a reason, and removable. */
static void test_broken(void **state)
{
    struct fix *f = *state;
    static const struct {
        const char *file, *text;
    } damage[] = {
        {"state.json", ""},
        {"state.json", "{\"id\":"},
        {"state.json", "{\"id\":\"abc\",\"status\":\"running\"}"},
        {"container.json", "not json"},
        {"container.json", "{\"version\":99,\"id\":\"x\",\"name\":\"y\"}"},
    };
    for (size_t i = 0; i < N_ELEMENTS(damage); i++) {
        struct err e = ERR_INIT;
        char id[ID_LEN + 1];
        create(f, "web", id);
        scoped_free char *dir = container_dir(&f->conf, id);
        scoped_fd int fd = fs_open_dir(dir, false, 0700, &e);
        unit_write(fd, damage[i].file, damage[i].text);
        struct ctr_state *v;
        size_t n;
        assert_int_equal(container_list(&f->conf, &v, &n, &e), 0);
        assert_int_equal(n, 1);
        assert_string_equal(v[0].name, "web");
        if (i < 3) {
            assert_int_equal(v[0].status, CTR_DEAD);
            assert_true(v[0].reason && *v[0].reason);
        }
        container_list_free(v, n);
        struct container c;
        open_ok(f, "web", &c);
        assert_int_equal(c.state.status, CTR_DEAD);
        assert_has(c.state.reason, "json");
        assert_int_equal(container_remove(&f->conf, &c, true, &e), 0);
        container_release(&c);
        assert_false(is_there(f, "names", "web"));
    }
}

static void test_thousand(void **state)
{
    struct fix *f = *state;
    struct err e = ERR_INIT;
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "c%d", i);
        create(f, name, NULL);
    }
    struct ctr_state *v;
    size_t n;
    int64_t best = INT64_MAX;
    for (int round = 0; round < 5; round++) {
        int64_t begin = time_monotonic_ns();
        assert_int_equal(container_list(&f->conf, &v, &n, &e), 0);
        int64_t took = time_monotonic_ns() - begin;
        best = took < best ? took : best;
        assert_int_equal(n, 1000);
        for (size_t i = 0; i < n; i++) {
            char name[32];
            snprintf(name, sizeof(name), "c%zu", n - 1 - i); /* newest first */
            assert_string_equal(v[i].name, name);
            assert_int_equal(v[i].status, CTR_CREATED);
        }
        container_list_free(v, n);
    }
    print_message("1000 containers listed in %lld us\n", (long long)best / 1000);
    assert_true(best < INT64_C(200000000)); /* sanitizers and a busy machine included */
    struct container c;
    assert_int_equal(container_open_latest(&f->conf, &c, &e), 0);
    assert_string_equal(c.rec.name, "c999");
    container_release(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_create_and_find), T(test_not_found), T(test_ambiguous),     T(test_names),
        T(test_stale_name),      T(test_prepare),   T(test_state_members), T(test_derive),
        T(test_derive_zombie),   T(test_survivor),  T(test_remove),        T(test_sweep),
        T(test_broken),          T(test_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
