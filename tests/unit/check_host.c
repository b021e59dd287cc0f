/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host/host.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *qg_suite_host(void);

static char root[64];
static struct qg_host *host;
static struct qg_err err;

static const char *real_path(const char *path) {
    static char real[512];
    snprintf(real, sizeof(real), "%s%s", root, path);
    return real;
}

/* As real_path, for two of them at once. */
static const char *root_path(const char *path) {
    static char real[512];
    snprintf(real, sizeof(real), "%s%s", root, path);
    return real;
}

static void put(const char *path, const char *content) {
    FILE *file = fopen(real_path(path), "w");
    ck_assert_ptr_nonnull(file);
    fputs(content, file);
    fclose(file);
}

static void assert_content(const char *path, const char *expected) {
    QG_AUTO(buf) struct qg_buf content = {0};
    ck_assert_int_eq(qg_host_read(host, path, &content, NULL, &err), 0);
    ck_assert_str_eq(qg_buf_text(&content), expected);
}

static void make_root(void) {
    snprintf(root, sizeof(root), "/tmp/qg-host-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    err = (struct qg_err){0};
    host = qg_host_new(root, NULL, &err);
    ck_assert_ptr_nonnull(host);
    ck_assert_int_eq(qg_host_mkdirs(host, "/etc/a/b", &err), 0);
}

static void drop_root(void) {
    qg_host_free(host);
    struct qg_err ignored = {0};
    QG_AUTO(host) struct qg_host *machine = qg_host_new("", NULL, &ignored);
    ck_assert_int_eq(qg_host_remove_tree(machine, root, &ignored), 0);
    ck_assert(!qg_host_exists(machine, root));
}

START_TEST(links_never_leave_the_root) {
    put("/etc/inside", "inside");
    ck_assert_int_eq(symlink("/etc/inside", real_path("/etc/a/absolute")), 0);
    ck_assert_int_eq(symlink("../../../../../../etc/inside", real_path("/etc/a/dots")), 0);
    ck_assert_int_eq(symlink("/etc/a", real_path("/folder")), 0);
    assert_content("/etc/a/absolute", "inside");
    assert_content("/etc/a/dots", "inside");
    assert_content("/folder/../inside", "inside");
    assert_content("/../../etc/./inside", "inside");
    bool found = true;
    QG_AUTO(buf) struct qg_buf content = {0};
    ck_assert_int_eq(symlink("/etc/hostname-of-the-computer", real_path("/etc/out")), 0);
    ck_assert_int_eq(qg_host_read(host, "/etc/out", &content, &found, &err), 0);
    ck_assert(!found);
}
END_TEST

START_TEST(link_loops_end) {
    ck_assert_int_eq(symlink("loop", real_path("/etc/loop")), 0);
    QG_AUTO(buf) struct qg_buf content = {0};
    bool found;
    ck_assert_int_eq(qg_host_read(host, "/etc/loop", &content, &found, &err), -1);
    ck_assert_int_eq(err.sys_errno, ELOOP);
}
END_TEST

START_TEST(a_missing_file_is_not_a_failure) {
    QG_AUTO(buf) struct qg_buf content = {0};
    bool found = true;
    ck_assert_int_eq(qg_host_read(host, "/no/such", &content, &found, &err), 0);
    ck_assert(!found);
    ck_assert_int_eq(qg_host_read(host, "/no/such", &content, NULL, &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such"));
}
END_TEST

START_TEST(only_regular_files_are_read) {
    ck_assert_int_eq(mkfifo(real_path("/etc/pipe"), 0600), 0);
    QG_AUTO(buf) struct qg_buf content = {0};
    ck_assert_int_eq(qg_host_read(host, "/etc/pipe", &content, NULL, &err), -1);
    qg_err_clear(&err);
    ck_assert_int_eq(qg_host_read(host, "/etc/a", &content, NULL, &err), -1);
    ck_assert_int_eq(err.sys_errno, EISDIR);
}
END_TEST

START_TEST(a_write_keeps_mode_and_owner_and_backs_up_once) {
    put("/etc/file", "one");
    ck_assert_int_eq(chmod(real_path("/etc/file"), 0640), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(real_path("/etc/file"), 7, 8), 0);
    ck_assert_int_eq(qg_host_write(host, "/etc/file", "two", 3, 0600, "/var/old/file", &err), 0);
    ck_assert_int_eq(qg_host_write(host, "/etc/file", "three", 5, 0600, "/var/old/file", &err), 0);
    assert_content("/etc/file", "three");
    assert_content("/var/old/file", "one");
    struct stat info;
    ck_assert_int_eq(stat(real_path("/etc/file"), &info), 0);
    ck_assert_int_eq(info.st_mode & 07777, 0640);
    if (geteuid() == 0)
        ck_assert(info.st_uid == 7 && info.st_gid == 8);
}
END_TEST

START_TEST(a_new_file_gets_its_mode_and_leaves_nothing_beside_it) {
    put("/etc/a/.new.qvm-gpu", "left by a killed run");
    ck_assert_int_eq(qg_host_write(host, "/etc/a/new", "x", 1, 0755, NULL, &err), 0);
    struct stat info;
    ck_assert_int_eq(stat(real_path("/etc/a/new"), &info), 0);
    ck_assert_int_eq(info.st_mode & 07777, 0755);
    QG_AUTO(names) char **names = qg_host_list(host, "/etc/a", &err);
    ck_assert_ptr_nonnull(names);
    ck_assert_str_eq(names[0], "b");
    ck_assert_str_eq(names[1], "new");
    ck_assert_ptr_null(names[2]);
}
END_TEST

/* In a folder where others may write, the place of the temporary file can be taken on purpose. */
START_TEST(a_temporary_file_of_others_is_not_used) {
    static const char temporary[] = "/etc/a/.new.qvm-gpu";
    put("/etc/victim", "victim");
    ck_assert_int_eq(link(root_path("/etc/victim"), real_path(temporary)), 0);
    ck_assert_int_eq(qg_host_write(host, "/etc/a/new", "1", 1, 0644, NULL, &err), 0);
    assert_content("/etc/victim", "victim");
    ck_assert_int_eq(symlink("/etc/victim", real_path(temporary)), 0);
    ck_assert_int_eq(qg_host_write(host, "/etc/a/new", "2", 1, 0644, NULL, &err), 0);
    assert_content("/etc/victim", "victim");
    ck_assert_int_eq(mkfifo(real_path(temporary), 0666), 0);
    ck_assert_int_eq(qg_host_write(host, "/etc/a/new", "3", 1, 0644, NULL, &err), 0);
    assert_content("/etc/a/new", "3");
    if (geteuid() != 0)
        return;
    put(temporary, "a file whose owner holds it open");
    ck_assert_int_eq(chown(real_path(temporary), 7, 8), 0);
    QG_AUTO_FD int held = open(real_path(temporary), O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(qg_host_write(host, "/etc/a/new", "4", 1, 0600, NULL, &err), 0);
    char seen[64] = "";
    ck_assert_int_gt(read(held, seen, sizeof(seen) - 1), 1);
    ck_assert_str_eq(seen, "a file whose owner holds it open");
    assert_content("/etc/a/new", "4");
}
END_TEST

START_TEST(nothing_is_appended_to_what_is_no_file) {
    ck_assert_int_eq(mkfifo(real_path("/etc/a/fifo"), 0666), 0);
    QG_AUTO_FD int reader = open(real_path("/etc/a/fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_eq(qg_host_append(host, "/etc/a/fifo", "x", 1, 0644, &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_IO);
    char seen;
    ck_assert_int_le(read(reader, &seen, 1), 0);
}
END_TEST

START_TEST(a_write_goes_through_a_link) {
    put("/etc/a/target", "old");
    ck_assert_int_eq(symlink("a/target", real_path("/etc/link")), 0);
    ck_assert_int_eq(qg_host_write(host, "/etc/link", "new", 3, 0644, NULL, &err), 0);
    assert_content("/etc/a/target", "new");
    QG_AUTO_STR char *name = qg_host_link_name(host, "/etc/link", &err);
    ck_assert_str_eq(name, "target");
}
END_TEST

START_TEST(a_failed_write_leaves_the_file) {
    ck_assert_int_eq(qg_host_write(host, "/etc/a", "x", 1, 0644, NULL, &err), -1);
    ck_assert_int_eq(err.sys_errno, EISDIR);
    qg_err_clear(&err);
    ck_assert_int_eq(qg_host_write(host, "/nowhere/x", "x", 1, 0644, NULL, &err), -1);
    ck_assert_int_eq(err.sys_errno, ENOENT);
}
END_TEST

START_TEST(a_tree_is_removed_without_following_links) {
    put("/etc/keep", "kept");
    ck_assert_int_eq(qg_host_mkdirs(host, "/tree/x/y", &err), 0);
    put("/tree/x/file", "f");
    ck_assert_int_eq(symlink("/etc", real_path("/tree/x/link")), 0);
    ck_assert_int_eq(qg_host_remove_tree(host, "/tree", &err), 0);
    ck_assert_int_eq(qg_host_remove_tree(host, "/tree", &err), 0);
    ck_assert(!qg_host_exists(host, "/tree"));
    assert_content("/etc/keep", "kept");
    bool removed;
    ck_assert_int_eq(qg_host_remove(host, "/etc/keep", &removed, &err), 0);
    ck_assert(removed);
    ck_assert_int_eq(qg_host_remove(host, "/etc/keep", &removed, &err), 0);
    ck_assert(!removed);
}
END_TEST

START_TEST(the_tail_of_a_long_file) {
    ck_assert_int_eq(qg_host_append(host, "/etc/log", "0123456789", 10, 0600, &err), 0);
    ck_assert_int_eq(qg_host_append(host, "/etc/log", "abc", 3, 0600, &err), 0);
    QG_AUTO(buf) struct qg_buf content = {0};
    ck_assert_int_eq(qg_host_read_part(host, "/etc/log", -5, 5, &content, NULL, &err), 0);
    ck_assert_str_eq(qg_buf_text(&content), "89abc");
    QG_AUTO(buf) struct qg_buf middle = {0};
    ck_assert_int_eq(qg_host_read_part(host, "/etc/log", 2, 3, &middle, NULL, &err), 0);
    ck_assert_str_eq(qg_buf_text(&middle), "234");
    QG_AUTO(buf) struct qg_buf all = {0};
    ck_assert_int_eq(qg_host_read_part(host, "/etc/log", -100, 100, &all, NULL, &err), 0);
    ck_assert_str_eq(qg_buf_text(&all), "0123456789abc");
}
END_TEST

START_TEST(a_lock_is_seen) {
    put("/etc/lock", "");
    ck_assert_int_eq(qg_host_lock_holder(host, "/etc/lock"), 0);
    int told[2];
    ck_assert_int_eq(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(real_path("/etc/lock"), O_RDWR);
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        _exit(fcntl(fd, F_SETLK, &lock) == 0 && write(told[1], "x", 1) == 1 && pause() ? 0 : 1);
    }
    char byte;
    ck_assert_int_eq(read(told[0], &byte, 1), 1);
    ck_assert_int_eq(qg_host_lock_holder(host, "/etc/lock"), pid);
    kill(pid, SIGKILL);
    close(told[0]);
    close(told[1]);
}
END_TEST

START_TEST(the_computers_programs_are_not_taken_under_a_root) {
    QG_AUTO_STR char *path = qg_host_which(host, "sh", &err);
    ck_assert_ptr_null(path);
    ck_assert_int_eq(err.kind, QG_ERR_NONE);
    const char *argv[] = {"sh", "-c", "true", NULL};
    struct qg_host_command command = {.argv = argv};
    struct qg_deadline deadline = qg_deadline_in(5000);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(qg_host_run(host, &command, &deadline, &result, &err), -1);
    ck_assert(!result.started);
    ck_assert_int_eq(err.sys_errno, ENOENT);
}
END_TEST

START_TEST(a_program_that_cannot_run_is_not_started) {
    ck_assert_int_eq(qg_host_mkdirs(host, "/usr/bin", &err), 0);
    put("/usr/bin/tool", "not a program\n");
    ck_assert_int_eq(chmod(real_path("/usr/bin/tool"), 0755), 0);
    QG_AUTO_STR char *path = qg_host_which(host, "tool", &err);
    ck_assert_str_eq(path, "/usr/bin/tool");
    const char *argv[] = {"tool", NULL};
    struct qg_host_command command = {.argv = argv};
    struct qg_deadline deadline = qg_deadline_in(5000);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(qg_host_run(host, &command, &deadline, &result, &err), -1);
    ck_assert(!result.started);
    ck_assert_int_eq(err.kind, QG_ERR_IO);
}
END_TEST

/* The rest runs the computer's own shell. */

static struct qg_host *machine;

static void make_machine(void) {
    err = (struct qg_err){0};
    machine = qg_host_new("", NULL, &err);
    ck_assert_ptr_nonnull(machine);
}

static void drop_machine(void) {
    qg_host_free(machine);
}

static int run_shell(const char *script, int64_t ms, struct qg_host_result *result,
                     void (*on_line)(void *, const char *), void *data) {
    const char *argv[] = {"sh", "-c", script, NULL};
    const char *env[] = {"QG_TEST=a b", NULL};
    struct qg_host_command command = {.argv = argv, .env = env, .on_line = on_line, .data = data};
    struct qg_deadline deadline = qg_deadline_in(ms);
    return qg_host_run(machine, &command, &deadline, result, &err);
}

START_TEST(output_and_exit_code) {
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(run_shell("echo out; echo err >&2; printf 'a\\033b\\tc'; exit 7", 5000,
                               &result, NULL, NULL),
                     0);
    ck_assert(result.started);
    ck_assert_int_eq(result.exit_code, 7);
    ck_assert_str_eq(qg_buf_text(&result.out), "out\nerr\na?b c");
}
END_TEST

START_TEST(a_signal_is_128_and_more) {
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(run_shell("kill -9 $$", 5000, &result, NULL, NULL), 0);
    ck_assert_int_eq(result.exit_code, 128 + 9);
}
END_TEST

START_TEST(the_environment_is_clean_and_nothing_is_inherited) {
    setenv("QG_SECRET", "1", 1);
    int fd = open("/dev/null", O_RDONLY);
    ck_assert_int_ge(dup2(fd, 77), 0);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(run_shell("env | grep -v '^_=' | grep -v '^PWD=' | sort; ls /proc/self/fd",
                               5000, &result, NULL, NULL),
                     0);
    ck_assert_str_eq(qg_buf_text(&result.out),
                     "HOME=/root\nLANG=C.UTF-8\n"
                     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                     "QG_TEST=a b\n0\n1\n2\n3\n");
    close(77);
    close(fd);
}
END_TEST

static void collect(void *data, const char *line) {
    ck_assert_int_eq(qg_buf_printf(data, NULL, "[%s]", line), 0);
}

START_TEST(lines_come_as_they_are_said) {
    QG_AUTO(buf) struct qg_buf lines = {0};
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(run_shell("printf 'one\\ntw'; sleep 0.1; printf 'o\\r50%%\\rend'", 5000,
                               &result, collect, &lines),
                     0);
    ck_assert_str_eq(qg_buf_text(&lines), "[one][two][50%][end]");
}
END_TEST

START_TEST(only_the_tail_is_kept) {
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(run_shell("i=0; while [ $i -lt 40000 ]; do echo line$i; i=$((i+1)); done",
                               20000, &result, NULL, NULL),
                     0);
    ck_assert_uint_le(result.out.length, QG_HOST_OUTPUT_CAP);
    ck_assert_ptr_nonnull(strstr(qg_buf_text(&result.out), "line39999\n"));
}
END_TEST

/* True for a process that is gone, or dead and not yet reaped by init. */
static bool is_dead(long pid) {
    char path[64], content[512] = "";
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return true;
    size_t length = fread(content, 1, sizeof(content) - 1, file);
    fclose(file);
    content[length] = '\0';
    const char *state = strstr(content, ") ");
    return state && state[2] == 'Z';
}

START_TEST(a_deadline_kills_the_whole_group) {
    QG_AUTO(host_result) struct qg_host_result result = {0};
    int64_t start = qg_clock_ms();
    ck_assert_int_eq(run_shell("sleep 60 & echo $!; wait", 300, &result, NULL, NULL), -1);
    ck_assert_int_eq(err.kind, QG_ERR_TIMEOUT);
    ck_assert_int_lt(qg_clock_ms() - start, 3000);
    long grandchild = strtol(qg_buf_text(&result.out), NULL, 10);
    ck_assert_int_gt(grandchild, 1);
    for (int i = 0; i < 100 && !is_dead(grandchild); i++)
        usleep(10000);
    ck_assert(is_dead(grandchild));
}
END_TEST

START_TEST(a_daemon_left_behind_is_not_waited_for) {
    QG_AUTO(host_result) struct qg_host_result result = {0};
    int64_t start = qg_clock_ms();
    ck_assert_int_eq(run_shell("sleep 5 & echo done", 20000, &result, NULL, NULL), 0);
    ck_assert_str_eq(qg_buf_text(&result.out), "done\n");
    ck_assert_int_lt(qg_clock_ms() - start, 3000);
}
END_TEST

START_TEST(a_program_that_closes_its_output_is_waited_for) {
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(run_shell("exec >&- 2>&-; sleep 0.3; exit 3", 5000, &result, NULL, NULL), 0);
    ck_assert_int_eq(result.exit_code, 3);
}
END_TEST

static bool say_yes(void *data) {
    (void)data;
    return true;
}

/* One that is silent, and one that never stops talking. */
static const char *const endless[][3] = {{"sleep", "30", NULL}, {"yes", NULL}};

START_TEST(an_interruption_stops_it) {
    struct qg_host_command command = {.argv = endless[_i]};
    struct qg_deadline deadline = qg_deadline_in(20000);
    deadline.interrupted = say_yes;
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(qg_host_run(machine, &command, &deadline, &result, &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_INTERRUPTED);
}
END_TEST

START_TEST(stderr_apart) {
    QG_AUTO(buf) struct qg_buf lines = {0};
    const char *argv[] = {"sh", "-c", "echo json; echo warning >&2", NULL};
    struct qg_host_command command = {
        .argv = argv, .separate_stderr = true, .on_line = collect, .data = &lines};
    struct qg_deadline deadline = qg_deadline_in(5000);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    ck_assert_int_eq(qg_host_run(machine, &command, &deadline, &result, &err), 0);
    ck_assert_str_eq(qg_buf_text(&result.out), "json\n");
    ck_assert_ptr_nonnull(strstr(qg_buf_text(&lines), "[warning]"));
}
END_TEST

/* A chroot needs a program without libraries: Debian's ldconfig is one. */
START_TEST(a_program_runs_inside_the_root) {
    if (geteuid() != 0 || access("/sbin/ldconfig", X_OK) != 0)
        return;
    ck_assert_int_eq(qg_host_mkdirs(host, "/usr/sbin", &err), 0);
    QG_AUTO(host) struct qg_host *outside = qg_host_new("", NULL, &err);
    QG_AUTO(buf) struct qg_buf binary = {0};
    ck_assert_int_eq(qg_host_read(outside, "/sbin/ldconfig", &binary, NULL, &err), 0);
    ck_assert_int_eq(
        qg_host_write(host, "/usr/sbin/tool", binary.data, binary.length, 0755, NULL, &err), 0);
    const char *argv[] = {"tool", "-p", NULL};
    struct qg_host_command command = {.argv = argv};
    struct qg_deadline deadline = qg_deadline_in(5000);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    int status = qg_host_run(host, &command, &deadline, &result, &err);
    if (status < 0 && err.sys_errno == EPERM)
        return; /* no right to chroot here */
    if (status < 0 && err.sys_errno == ENOENT)
        return; /* linked with libraries on this distribution */
    ck_assert_int_eq(status, 0);
    /* The root has no cache: the computer's own would have been listed. */
    ck_assert_ptr_nonnull(strstr(qg_buf_text(&result.out), "ld.so.cache"));
    ck_assert_int_ne(result.exit_code, 0);
}
END_TEST

Suite *qg_suite_host(void) {
    Suite *suite = suite_create("host");
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, make_root, drop_root);
    tcase_add_test(files, links_never_leave_the_root);
    tcase_add_test(files, link_loops_end);
    tcase_add_test(files, a_missing_file_is_not_a_failure);
    tcase_add_test(files, only_regular_files_are_read);
    tcase_add_test(files, a_write_keeps_mode_and_owner_and_backs_up_once);
    tcase_add_test(files, a_new_file_gets_its_mode_and_leaves_nothing_beside_it);
    tcase_add_test(files, a_temporary_file_of_others_is_not_used);
    tcase_add_test(files, nothing_is_appended_to_what_is_no_file);
    tcase_add_test(files, a_write_goes_through_a_link);
    tcase_add_test(files, a_failed_write_leaves_the_file);
    tcase_add_test(files, a_tree_is_removed_without_following_links);
    tcase_add_test(files, the_tail_of_a_long_file);
    tcase_add_test(files, a_lock_is_seen);
    tcase_add_test(files, the_computers_programs_are_not_taken_under_a_root);
    tcase_add_test(files, a_program_that_cannot_run_is_not_started);
    tcase_add_test(files, a_program_runs_inside_the_root);
    suite_add_tcase(suite, files);
    TCase *programs = tcase_create("programs");
    tcase_set_timeout(programs, 30);
    tcase_add_checked_fixture(programs, make_machine, drop_machine);
    tcase_add_test(programs, output_and_exit_code);
    tcase_add_test(programs, a_signal_is_128_and_more);
    tcase_add_test(programs, the_environment_is_clean_and_nothing_is_inherited);
    tcase_add_test(programs, lines_come_as_they_are_said);
    tcase_add_test(programs, only_the_tail_is_kept);
    tcase_add_test(programs, a_deadline_kills_the_whole_group);
    tcase_add_test(programs, a_daemon_left_behind_is_not_waited_for);
    tcase_add_test(programs, a_program_that_closes_its_output_is_waited_for);
    tcase_add_loop_test(programs, an_interruption_stops_it, 0, QG_ARRAY_LEN(endless));
    tcase_add_test(programs, stderr_apart);
    suite_add_tcase(suite, programs);
    return suite;
}
