/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the machine offers beside qubesd: files and programs, all below one root. */
#ifndef QG_HOST_HOST_H
#define QG_HOST_HOST_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct qg_host;

/* What a program did. Start it as {0}; qg_host_result_fini frees it. */
struct qg_host_result {
    bool started;  /* false: there is no such program, or it cannot be run here */
    int exit_code; /* 0-255; 128 + N where signal N ended it */
    struct qg_buf
        out; /* the last QG_HOST_OUTPUT_CAP bytes of stdout and stderr together, cleaned */
};

enum {
    QG_HOST_FILE_CAP = 32 * 1024 * 1024, /* no file that we read is larger */
    QG_HOST_OUTPUT_CAP = 64 * 1024,      /* of a program's output, its tail */
};

/* How a program is started: argv only, never a shell. */
struct qg_host_command {
    const char *const
        *argv; /* NULL-terminated; argv[0] is looked up in the standard folders of the root */
    const char *const
        *env;             /* NULL-terminated NAME=value added to a clean environment; may be NULL */
    bool separate_stderr; /* stderr goes to on_line only, not to the result */
    bool unprivileged;    /* as nobody, where we are root: a question that writes nothing */
    /* Each whole line as it comes, cleaned, without its newline; may be NULL. */
    void (*on_line)(void *data, const char *line);
    void *data;
};

void qg_host_result_fini(struct qg_host_result *result);
QG_DEFINE_AUTO_FINI(host_result, struct qg_host_result, qg_host_result_fini)

/* The computer, every path taken below root ("" for /, else QVM_GPU_ROOT). root and log are
 * borrowed and must outlive the host. Owned by the caller; NULL on failure. */
struct qg_host *qg_host_new(const char *root, const struct qg_log *log,
                            struct qg_err *err) QG_MUST_CHECK;
void qg_host_free(struct qg_host *host);
QG_DEFINE_AUTO(host, struct qg_host, qg_host_free)

/* The root folder, "" for the computer's own; borrowed. */
const char *qg_host_root(const struct qg_host *host);

/* The whole file into out (which must be empty). A file that is not there: 0 with *found false.
 * Links are followed inside the root only. found may be NULL: then a missing file is an error. */
int qg_host_read(struct qg_host *host, const char *path, struct qg_buf *out, bool *found,
                 struct qg_err *err);

/* As qg_host_read, but at most max bytes from an offset; a negative one counts from the end (a
 * shorter file is read from its start). */
int qg_host_read_part(struct qg_host *host, const char *path, int64_t from, size_t max,
                      struct qg_buf *out, bool *found, struct qg_err *err);

/* Replaces the file whole or not at all (temporary file in the same folder, fsync, rename). Mode,
 * owner and SELinux label of an existing file are kept (what a program's mode lacks is added); a
 * new one gets mode, and its folder must be there. Where backup is not NULL and the file was there,
 * its old content is first written to that path (folders are made) unless a backup is there
 * already. */
int qg_host_write(struct qg_host *host, const char *path, const char *content, size_t length,
                  mode_t mode, const char *backup, struct qg_err *err);

/* Adds bytes at the end of a file, which is made with mode where there is none. */
int qg_host_append(struct qg_host *host, const char *path, const char *bytes, size_t length,
                   mode_t mode, struct qg_err *err);

/* Removes a file or a link itself; one that is not there is fine (*removed false; removed may be
 * NULL). */
int qg_host_remove(struct qg_host *host, const char *path, bool *removed, struct qg_err *err);

/* Removes a folder and what is below it, without following links or leaving its file system. */
int qg_host_remove_tree(struct qg_host *host, const char *path, struct qg_err *err);

/* Makes the folder and its parents, mode 0755 for the new ones. */
int qg_host_mkdirs(struct qg_host *host, const char *path, struct qg_err *err);

bool qg_host_exists(struct qg_host *host, const char *path);

/* The time of a file's last change in nanoseconds since 1970; -1 where there is no such file. */
int64_t qg_host_mtime(struct qg_host *host, const char *path);

/* Its permissions; -1 where there is no such file. */
int qg_host_mode(struct qg_host *host, const char *path);

/* A file system, in bytes. */
struct qg_host_space {
    uint64_t size, available;
    bool in_memory; /* a tmpfs */
};

/* The file system that holds path. */
int qg_host_space(struct qg_host *host, const char *path, struct qg_host_space *out,
                  struct qg_err *err);

/* The process that holds a lock on a file, as package managers take them: a record lock (fcntl),
 * or 1 for one of flock(2), which tells nobody. 0 where nobody does or there is no such file. */
pid_t qg_host_lock_holder(struct qg_host *host, const char *path);

/* Takes the folder's lock (flock(2), so that it needs no file) without waiting: *fd, to be closed
 * with qg_fd_close; -1 where somebody else has it. */
int qg_host_lock(struct qg_host *host, const char *folder, int *fd, struct qg_err *err);

/* The names in a folder, sorted, without . and ..; NULL-terminated array, owned by the caller,
 * freed with qg_host_names_free. A folder that is not there has none. NULL on failure. */
char **qg_host_list(struct qg_host *host, const char *path, struct qg_err *err) QG_MUST_CHECK;
void qg_host_names_free(char **names);
QG_DEFINE_AUTO(names, char *, qg_host_names_free)

/* The last component of a symbolic link's target, e.g. the driver behind
 * /sys/bus/pci/devices/X/driver; owned by the caller. NULL without an error where path is no link.
 */
char *qg_host_link_name(struct qg_host *host, const char *path, struct qg_err *err) QG_MUST_CHECK;

/* The path of a program in the standard folders of the root, owned by the caller; NULL without an
 * error where there is none. Under a test root the computer's own programs are never taken. */
char *qg_host_which(struct qg_host *host, const char *program, struct qg_err *err) QG_MUST_CHECK;

/* Runs a program to its end or the deadline (then it and its children are killed, QG_ERR_TIMEOUT).
 * A program that ran and failed is 0 with its exit code; one that cannot be started is QG_ERR_IO
 * with result->started false. Under a test root it runs chrooted into it. stdin is /dev/null, the
 * environment clean (PATH, LANG=C.UTF-8, HOME, and command->env), no descriptor is inherited. Where
 * our own process is killed the program is not: it goes on until it writes to nobody. */
int qg_host_run(struct qg_host *host, const struct qg_host_command *command,
                const struct qg_deadline *deadline, struct qg_host_result *result,
                struct qg_err *err);

/* For a forked child in which somebody else's code will run: signals as they are by default,
 * /dev/null as 0-2, every descriptor closed but this one, whose new number is returned. */
int qg_host_detach(int fd);

#endif
