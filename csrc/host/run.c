/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/text.h"
#include "host/host_i.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum {
    TICK_MS = 50,        /* how often a silent program is looked at */
    GRACE_MS = 3000,     /* between SIGTERM and SIGKILL */
    DRAIN_MS = 200,      /* for what a daemon left behind may still say */
    LINE_MAX_LEN = 4096, /* a longer line is handed over in pieces */
};

static const char *const folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                      "/usr/bin",        "/sbin",          "/bin"};
#define PATH_ENV "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static bool is_program(const struct qg_host *host, const char *path) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    struct stat info;
    return qg_place_find(host, path, true, &place) == 0 &&
           fstatat(place.dir, place.name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(info.st_mode) && (info.st_mode & 0111);
}

char *qg_host_which(struct qg_host *host, const char *program, struct qg_err *err) {
    for (size_t i = 0; i < QG_ARRAY_LEN(folders); i++) {
        QG_AUTO_STR char *path =
            program[0] == '/' ? strdup(program) : qg_text_format("%s/%s", folders[i], program);
        if (!path) {
            qg_err_oom(err);
            return NULL;
        }
        if (is_program(host, path))
            return QG_STEAL(path);
    }
    return NULL;
}

/* One stream of a program: a pipe's end and the line that is not whole yet. */
struct stream {
    int fd;
    bool kept; /* goes to the result */
    char line[LINE_MAX_LEN + 1];
    size_t length;
};

/* A program that is running. */
struct child {
    const struct qg_host_command *command;
    struct qg_host_result *result;
    pid_t pid;
    int status;
    bool ended;
    struct stream streams[2];
};

static void child_fini(struct child *child) {
    qg_fd_close(&child->streams[0].fd);
    qg_fd_close(&child->streams[1].fd);
}
QG_DEFINE_AUTO_FINI(child, struct child, child_fini)

/* Everything that the child needs, made before fork: nothing may be allocated after it. */
struct launch {
    const char *path; /* inside the root */
    const char *root;
    char *const *argv;
    char *const *env;
    int out, errors, problem;
    bool unprivileged;
};

static void close_inherited(int first, bool now) {
    if (syscall(SYS_close_range, first, ~0U, now ? 0 : CLOSE_RANGE_CLOEXEC) == 0)
        return;
    for (int fd = first; fd < 4096; fd++)
        (void)(now ? close(fd) : fcntl(fd, F_SETFD, FD_CLOEXEC));
}

/* As a program expects to find them: Python ignores SIGPIPE, and ignored signals are inherited. */
static void reset_signals(void) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &plain, NULL);
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int qg_host_detach(int fd) {
    reset_signals();
    (void)setsid();
    if (fd != 3)
        (void)dup3(fd, 3, O_CLOEXEC);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++)
        (void)dup2(null, i);
    close_inherited(4, true);
    return 3;
}

enum { NOBODY = 65534 };

/* Raw calls: glibc's would look for other threads, of which a forked child has none. */
static bool drop_privileges(const struct launch *launch) {
    if (!launch->unprivileged || geteuid() != 0)
        return true;
    return syscall(SYS_setgroups, 0, NULL) == 0 &&
           syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) == 0 &&
           syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) == 0;
}

/* The child's part: async-signal-safe calls only. Ends in exec or by sending errno. */
static _Noreturn void launch_child(const struct launch *launch) {
    reset_signals();
    (void)setsid();
    umask(022);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(launch->out, 1) == 1 &&
        dup2(launch->errors, 2) == 2 && (!launch->root[0] || chroot(launch->root) == 0) &&
        chdir("/") == 0 && drop_privileges(launch)) {
        close_inherited(3, false);
        execve(launch->path, launch->argv, launch->env);
    }
    int problem = errno;
    ssize_t ignored = write(launch->problem, &problem, sizeof(problem));
    (void)ignored;
    _exit(127);
}

/* The environment: ours, then the command's; the texts are borrowed, the array owned. */
static char **make_env(const struct qg_host_command *command) {
    static char path[] = PATH_ENV, lang[] = "LANG=C.UTF-8", home[] = "HOME=/root";
    size_t count = 0;
    while (command->env && command->env[count])
        count++;
    char **env = calloc(count + 4, sizeof(*env));
    if (!env)
        return NULL;
    env[0] = path;
    env[1] = lang;
    env[2] = home;
    for (size_t i = 0; i < count; i++)
        env[3 + i] = (char *)(uintptr_t)command->env[i];
    return env;
}

static void free_array(char **array) {
    free(array);
}
QG_DEFINE_AUTO(array, char *, free_array)

/* Pipes whose ends never fall on 0-2, which the child overwrites. */
static int open_pipe(int ends[2]) {
    int raw[2];
    if (pipe2(raw, O_CLOEXEC) < 0)
        return -1;
    ends[0] = fcntl(raw[0], F_DUPFD_CLOEXEC, 3);
    ends[1] = fcntl(raw[1], F_DUPFD_CLOEXEC, 3);
    qg_fd_close(&raw[0]);
    qg_fd_close(&raw[1]);
    return ends[0] < 0 || ends[1] < 0 ? -1 : 0;
}

/* Waits for exec: 0 where it worked, else the child's errno. */
static int exec_problem(int fd) {
    int problem = 0;
    ssize_t got;
    do
        got = read(fd, &problem, sizeof(problem));
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(problem) ? problem : 0;
}

static pid_t fork_child(const struct launch *launch) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of ours runs in the child */
    pid_t pid = fork();
    if (pid == 0)
        launch_child(launch);
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return pid;
}

static void reap(pid_t pid) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static int start_child(const struct qg_host *host, const char *path, struct child *child,
                       struct qg_err *err) {
    QG_AUTO(array) char **env = make_env(child->command);
    if (!env)
        return qg_err_oom(err);
    QG_AUTO_FD int out = -1, errors = -1, problem = -1, problem_in = -1;
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    int made = 0;
    for (int i = 0; i < 3; i++)
        made = open_pipe(pipes[i]) < 0 ? -1 : made;
    child->streams[0] = (struct stream){.fd = pipes[0][0], .kept = true};
    child->streams[1] =
        (struct stream){.fd = pipes[1][0], .kept = !child->command->separate_stderr};
    out = pipes[0][1];
    errors = pipes[1][1];
    problem = pipes[2][0];
    problem_in = pipes[2][1];
    if (made < 0)
        return qg_err_errno(err, "cannot run %s", path);
    struct launch launch = {.path = path,
                            .root = host->root,
                            .argv = (char *const *)(uintptr_t)child->command->argv,
                            .env = env,
                            .out = out,
                            .errors = child->command->separate_stderr ? errors : out,
                            .problem = problem_in,
                            .unprivileged = child->command->unprivileged};
    child->pid = fork_child(&launch);
    if (child->pid < 0)
        return qg_err_errno(err, "cannot run %s", path);
    qg_fd_close(&problem_in);
    errno = exec_problem(problem);
    if (errno) {
        int saved = errno;
        reap(child->pid);
        errno = saved;
        return qg_err_errno(err, "cannot run %s", path);
    }
    child->result->started = true;
    return 0;
}

static void hand_line(struct child *child, struct stream *stream) {
    stream->line[stream->length] = '\0';
    qg_text_clean(stream->line);
    if (stream->length && child->command->on_line)
        child->command->on_line(child->command->data, stream->line);
    stream->length = 0;
}

/* Cuts what was read into lines; a carriage return ends one too (progress bars). A NUL cannot stand
 * in text. */
static void feed_lines(struct child *child, struct stream *stream, const char *bytes,
                       size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r') {
            hand_line(child, stream);
            continue;
        }
        stream->line[stream->length++] = bytes[i] == '\t' ? ' ' : bytes[i] ? bytes[i] : '?';
        if (stream->length == LINE_MAX_LEN)
            hand_line(child, stream);
    }
}

/* Adds to the tail, which is cut back to its cap whenever it is twice as long. */
static int feed_tail(struct qg_buf *out, const char *bytes, size_t length, struct qg_err *err) {
    if (qg_buf_add(out, bytes, length, err) < 0)
        return -1;
    if (out->length > 2 * QG_HOST_OUTPUT_CAP) {
        memmove(out->data, out->data + out->length - QG_HOST_OUTPUT_CAP, QG_HOST_OUTPUT_CAP + 1);
        out->length = QG_HOST_OUTPUT_CAP;
    }
    return 0;
}

static int read_stream(struct child *child, struct stream *stream, struct qg_err *err) {
    char chunk[8192];
    ssize_t got = read(stream->fd, chunk, sizeof(chunk));
    if (got < 0)
        return errno == EINTR || errno == EAGAIN
                   ? 0
                   : qg_err_errno(err, "cannot read from %s", child->command->argv[0]);
    if (got == 0) {
        qg_fd_close(&stream->fd);
        return 0;
    }
    feed_lines(child, stream, chunk, (size_t)got);
    return stream->kept ? feed_tail(&child->result->out, chunk, (size_t)got, err) : 0;
}

/* Waits up to ms for output and takes it. 1 where there was some, 0 where not. */
static int take_output(struct child *child, int ms, struct qg_err *err) {
    struct pollfd polled[2] = {{.fd = child->streams[0].fd, .events = POLLIN},
                               {.fd = child->streams[1].fd, .events = POLLIN}};
    int ready = poll(polled, 2, ms);
    if (ready < 0 && errno != EINTR)
        return qg_err_errno(err, "cannot wait for %s", child->command->argv[0]);
    for (size_t i = 0; ready > 0 && i < 2; i++) {
        if (polled[i].revents && read_stream(child, &child->streams[i], err) < 0)
            return -1;
    }
    return ready > 0;
}

/* Looks whether the program has ended. */
static int look(struct child *child, struct qg_err *err) {
    if (child->ended)
        return 0;
    pid_t got = waitpid(child->pid, &child->status, WNOHANG);
    if (got < 0 && errno != EINTR)
        return qg_err_errno(err, "cannot wait for %s", child->command->argv[0]);
    child->ended = got == child->pid;
    return 0;
}

/* Ends the program's whole process group, first politely. One that has ended is left: its number
 * may be another's by now. */
static void kill_child(struct child *child) {
    if (child->ended)
        return;
    struct qg_deadline grace = qg_deadline_in(GRACE_MS);
    (void)kill(-child->pid, SIGTERM);
    while (!child->ended && qg_deadline_left(&grace)) {
        if (take_output(child, TICK_MS, NULL) < 0 || look(child, NULL) < 0)
            break;
        if (child->streams[0].fd < 0 && child->streams[1].fd < 0)
            nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    (void)kill(-child->pid, SIGKILL);
    if (!child->ended)
        reap(child->pid);
    child->ended = true;
}

static int give_up(struct child *child, enum qg_err_kind kind, struct qg_err *err) {
    kill_child(child);
    return qg_err_set(err, kind,
                      kind == QG_ERR_TIMEOUT ? "%s did not end in time" : "%s was stopped",
                      child->command->argv[0]);
}

/* Streams the output until the program has ended and said everything. */
static int follow_child(struct child *child, const struct qg_deadline *deadline,
                        struct qg_err *err) {
    struct qg_deadline drain = {0}, ask = {0};
    for (;;) {
        bool open = child->streams[0].fd >= 0 || child->streams[1].fd >= 0;
        int left = qg_deadline_left(deadline);
        int taken = take_output(child, left < TICK_MS ? left : open ? TICK_MS : 5, err);
        if (taken < 0 || look(child, err) < 0) {
            kill_child(child);
            return -1;
        }
        if (child->ended && !drain.at_ms)
            drain = qg_deadline_in(DRAIN_MS);
        if (child->ended && (!open || !qg_deadline_left(&drain)))
            return 0;
        if (qg_deadline_left(&ask) == 0) { /* also of one that never stops talking */
            ask = qg_deadline_in(TICK_MS);
            if (qg_deadline_interrupted(deadline))
                return give_up(child, QG_ERR_INTERRUPTED, err);
        }
        if (!child->ended && qg_deadline_left(deadline) == 0)
            return give_up(child, QG_ERR_TIMEOUT, err);
    }
}

/* Text is all that a caller gets: no NULs, no control characters, no more than the cap. */
static int finish_output(struct child *child, struct qg_err *err) {
    struct qg_buf *out = &child->result->out;
    for (size_t i = 0; i < 2; i++)
        hand_line(child, &child->streams[i]);
    if (qg_buf_reserve(out, 0, err) < 0)
        return -1;
    if (!out->length)
        out->data[0] = '\0';
    size_t start = out->length > QG_HOST_OUTPUT_CAP ? out->length - QG_HOST_OUTPUT_CAP : 0;
    memmove(out->data, out->data + start, out->length - start + 1);
    out->length -= start;
    for (size_t i = 0; i < out->length; i++) {
        char c = out->data[i];
        out->data[i] = (char)(c == '\t' ? ' ' : c == '\r' ? '\n' : c ? c : '?');
    }
    qg_text_clean_block(out->data);
    out->length = strlen(out->data);
    return 0;
}

static void log_command(const struct qg_host *host, const char *const *argv) {
    char line[900];
    size_t used = 0;
    for (; *argv && used < sizeof(line); argv++) {
        int added = snprintf(line + used, sizeof(line) - used, " %s", *argv);
        used += added > 0 ? (size_t)added : 0;
    }
    qg_log(host->log, QG_LOG_DEBUG, "running%s", line);
}

int qg_host_run(struct qg_host *host, const struct qg_host_command *command,
                const struct qg_deadline *deadline, struct qg_host_result *result,
                struct qg_err *err) {
    struct qg_err which_err = {0};
    QG_AUTO_STR char *path = qg_host_which(host, command->argv[0], &which_err);
    if (which_err.kind)
        return qg_err_oom(err);
    if (!path) {
        errno = ENOENT;
        return qg_err_errno(err, "cannot run %s", command->argv[0]);
    }
    log_command(host, command->argv);
    QG_AUTO(child)
    struct child child = {
        .command = command, .result = result, .streams = {{.fd = -1}, {.fd = -1}}};
    if (start_child(host, path, &child, err) < 0)
        return -1;
    int status = follow_child(&child, deadline, err);
    if (finish_output(&child, err) < 0 || status < 0)
        return -1;
    result->exit_code =
        WIFEXITED(child.status) ? WEXITSTATUS(child.status) : 128 + WTERMSIG(child.status);
    return 0;
}
