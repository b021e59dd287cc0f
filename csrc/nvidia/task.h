/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One state at work in this qube: programs whose output is seen and kept, files whose old content
 * is kept, changes noted as they happen. */
#ifndef QG_NVIDIA_TASK_H
#define QG_NVIDIA_TASK_H

#include "nvidia/facts.h"
#include "nvidia/record.h"
#include "plan/report.h"
#include "plan/run.h"

struct qg_task {
    struct qg_host *host;     /* borrowed */
    const struct qg_log *log; /* borrowed */
    struct qg_report *report; /* borrowed */
    struct qg_deadline deadline;
    int64_t timeout_ms;
    json_t *record;   /* owned */
    json_t *at_start; /* owned: package > version before our first transaction; NULL: none yet */
    enum qg_family family;
    enum qg_manager manager;
    int lock;         /* the lock that keeps two writing states apart: descriptor + 1 */
    const char *step; /* what we are at, for messages */
    bool offline;     /* a package manager said that servers cannot be reached */
    bool changed;     /* something was done */
    bool lasting;     /* packages are installed for good, not to be undone with the driver */
    bool enlarged;    /* /tmp, by this run: that it is given back is no change */
    bool log_failed;  /* the log file cannot be written: said once */
};

/* Waits, unless it is a dry run, for another state that writes in this qube, and reads the record:
 * facts that are to be acted on are read after it. The rest is borrowed and must outlive the task.
 */
int qg_task_init(struct qg_task *task, struct qg_run *run, struct qg_report *report,
                 int64_t timeout_ms, struct qg_err *err);
void qg_task_fini(struct qg_task *task);
QG_DEFINE_AUTO_FINI(task, struct qg_task, qg_task_fini)

/* A line for the log as it happens, and for the log file in the qube. */
void qg_task_note(struct qg_task *task, const char *format, ...) QG_PRINTF(2, 3);

/* Runs a program until the task's deadline, its lines noted. A program that cannot be started or
 * does not end in time is a failure (its last lines become a warning); one that fails is not. */
int qg_task_run(struct qg_task *task, const char *const *argv, struct qg_host_result *result,
                struct qg_err *err);

/* As qg_task_run, of fixed words (NULL-terminated) and a list of names behind them. */
int qg_task_run_names(struct qg_task *task, const char *const *words, const json_t *names,
                      struct qg_host_result *result, struct qg_err *err);

/* As qg_task_run; a program that fails is a failure that quotes its reasons. */
int qg_task_must(struct qg_task *task, const char *const *argv, struct qg_err *err);

/* Fails because a program did: what, its exit code and its own reasons. */
int qg_task_failed(struct qg_task *task, const char *what, const struct qg_host_result *result,
                   struct qg_err *err);

/* A folder on a file system that has no room left; NULL where there is none. Static. */
const char *qg_task_full_disk(struct qg_task *task);

/* Does a step's files: each on record and backed up before it is written or removed, each change
 * noted. files: path > content or null. */
int qg_task_write_files(struct qg_task *task, const json_t *files, struct qg_err *err);
/* One file; in a dry run the changes are foretold. A program's mode is made right, too. */
int qg_task_write(struct qg_task *task, const char *path, const char *content, mode_t mode,
                  struct qg_err *err);
int qg_task_remove(struct qg_task *task, const char *path, struct qg_err *err);

/* Sets a flag of the record (or clears it) and saves it. */
int qg_task_flag(struct qg_task *task, const char *flag, bool value, struct qg_err *err);
bool qg_task_has_flag(const struct qg_task *task, const char *flag);

/* Notes changes[group][name]; old and new are consumed. */
int qg_task_change(struct qg_task *task, const char *group, const char *name, json_t *old,
                   json_t *new, struct qg_err *err);

/* Notes the lines that a file got and lost, in the log, too; NULL where there was or is none. */
int qg_task_change_file(struct qg_task *task, const char *path, const char *before,
                        const char *after, struct qg_err *err);

/* Waits until nobody holds the package managers' locks. */
int qg_task_wait_for_locks(struct qg_task *task, struct qg_err *err);

/* Before the first transaction: puts on record which packages there are. After the last one (also
 * when it failed): notes what came and went. */
int qg_task_packages_begin(struct qg_task *task, struct qg_err *err);
int qg_task_packages_end(struct qg_task *task, struct qg_err *err);

/* Sleeps; QG_ERR_TIMEOUT where the deadline comes first, QG_ERR_INTERRUPTED where somebody asks. */
int qg_task_sleep(struct qg_task *task, int ms, struct qg_err *err);

/* True where the program is in this root. */
bool qg_task_has_program(struct qg_task *task, const char *program);

#endif
