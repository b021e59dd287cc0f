/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making qubes: a plain creation, or a clone that we do over the Admin API as qvm-create and
 * qvm-clone do. */
#ifndef QG_QVM_CREATE_H
#define QG_QVM_CREATE_H

#include "qvm/action.h"

/* What is to be made. All borrowed. */
struct qg_creation {
    const char *klass; /* AppVM, StandaloneVM… */
    const char
        *source;       /* the template, or the qube to be cloned; NULL: qubesd's default template */
    const char *label; /* NULL: the source's, which only a clone may take */
    bool clone;        /* copy the source's settings and volumes into a qube of its own */
    bool with_private; /* the private volume too (qvm-clone; qvm-create takes the root volume alone)
                        */
    bool with_devices; /* the assignments too */
    bool more;         /* steps that follow belong to it, until qg_create_end */
};

/* Plans the creation: everything is read and checked before the first step. In a dry run a source
 * that does not exist, and that no earlier state makes, is a warning, as it may come from
 * elsewhere. */
int qg_create_plan(struct qg_job *job, struct qg_block *block, const struct qg_creation *creation,
                   struct qg_err *err);

/* Fails where qubesd makes no qube of this class from that one, whose properties are known; key
 * names it in the error. */
int qg_create_check_base(const char *key, const char *klass, const struct qg_qube *base,
                         struct qg_err *err);

/* A qube of this class as qubesd makes it, for planning what follows. Owned by the caller; NULL on
 * failure. */
struct qg_qube *qg_create_model(const char *name, const char *klass, const char *label,
                                struct qg_err *err) QG_MUST_CHECK;

/* Ends a creation that goes on; without one nothing is done. Where a step since its beginning fails
 * the new qube is removed. */
int qg_create_end(struct qg_job *job, struct qg_err *err);

/* Looks for the record of a creation of this qube that was cut off. Where there is one and the qube
 * is the unfinished one (halted, its uuid the recorded one), its removal is planned and job->qube
 * becomes missing. */
int qg_create_resume(struct qg_job *job, struct qg_block *block, struct qg_err *err);

#endif
