/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each step of the driver's installation does. */
#ifndef QG_NVIDIA_STEPS_H
#define QG_NVIDIA_STEPS_H

#include "nvidia/plan.h"
#include "nvidia/task.h"

/* What a step works on; all borrowed. */
struct qg_driver_job {
    struct qg_task *task;
    const struct qg_driver_want *want;
    const struct qg_driver_facts *facts;
    const struct qg_driver_step *step;
};

typedef int qg_driver_act(const struct qg_driver_job *job, struct qg_err *err);

qg_driver_act qg_apt_heal;
qg_driver_act qg_apt_packages;
qg_driver_act qg_dkms_module;

qg_driver_act qg_dnf_repositories;
qg_driver_act qg_dnf_grubby;
qg_driver_act qg_dnf_flavor;
qg_driver_act qg_dnf_tmp;
qg_driver_act qg_dnf_packages;
qg_driver_act qg_akmods_module;

/* Foretells a step's changes and says what it would do. */
int qg_step_foretell(const struct qg_driver_step *step, struct qg_report *report,
                     struct qg_err *err);

/* The files of the step, nothing else. */
qg_driver_act qg_step_files;

/* The step's files, then what makes them count: grub2-mkconfig, or the initramfs. */
qg_driver_act qg_boot_nouveau;
qg_driver_act qg_service_persistence;

/* Lets a service start at boot or not, or foretells it. */
int qg_service_set(struct qg_task *task, const char *service, bool on, struct qg_err *err);

/* Counts the boot loader's lines for the kernel, and those that do not keep nouveau away. Reads
 * files alone; there must be a grub.cfg. */
int qg_boot_count_lines(struct qg_host *host, const struct qg_driver_facts *facts, unsigned *found,
                        unsigned *bad, struct qg_err *err);

/* Gives /tmp the size back that it had before qg_dnf_tmp, or foretells it. A change where an
 * earlier run had to leave it large. */
int qg_dnf_tmp_restore(struct qg_task *task, struct qg_err *err);

/* Runs apt-get with these words behind the options that it always needs (NULL-terminated), and the
 * names behind `--`; names may be NULL. The exit code is in result. */
int qg_apt_get(struct qg_task *task, const char *const *words, const json_t *names,
               struct qg_host_result *result, struct qg_err *err);

/* Simulates and then installs; names is a list. */
int qg_apt_install(struct qg_task *task, const json_t *names, const json_t *held,
                   struct qg_err *err);

/* `dnf -y install`; says so where it fails because no repository can be reached. */
int qg_dnf_install(struct qg_task *task, const json_t *names, struct qg_err *err);

/* Before our first change: puts what the boot loader's entries hold into the record, to be saved
 * with what is done. The driver's packages edit them, too. */
int qg_boot_remember(struct qg_task *task, const struct qg_driver_facts *facts, struct qg_err *err);

/* Puts on record that the boot loader's configuration (Fedora) or the initramfs has to be made
 * anew, before files are written that it is made from; and makes it where that is on record. */
int qg_boot_flag(struct qg_task *task, const struct qg_driver_facts *facts, bool value,
                 struct qg_err *err);
int qg_boot_make(struct qg_task *task, const struct qg_driver_facts *facts, struct qg_err *err);

/* Runs grub2-mkconfig into path. */
int qg_boot_mkconfig(struct qg_task *task, const char *path, struct qg_err *err);

#endif
