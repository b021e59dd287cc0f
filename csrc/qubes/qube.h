/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A qube as it was observed, and as the steps of a plan will have changed it. */
#ifndef QG_QUBES_QUBE_H
#define QG_QUBES_QUBE_H

#include "doc/value.h"
#include "qubes/client.h"
#include "wire/property.h"

/* What was not asked for is not known: NULL, or absent from its mapping. Free with qg_qube_fini. */
struct qg_qube {
    char *name;
    bool known;                      /* some answer told whether it exists */
    bool exists;                     /* meaningful where known */
    struct qg_properties properties; /* empty: not known */
    char *power;                     /* Halted, Running, Paused, Transient…; NULL: not known */
    json_t *features;                /* name > text, or null: known to be missing; never NULL */
    bool all_features;               /* features holds every one there is */
    json_t *tags;                    /* name > true */
    json_t *devices;  /* device class > list of assignments (their lines' keys); never NULL */
    json_t *firewall; /* list of rules as qubesd prints them */
    char *notes;
    json_t *volumes; /* name > info (keys of admin.vm.volume.Info), null: known to be missing; never
                        NULL */
};

/* A name, nothing known. 0/-1. */
int qg_qube_init(struct qg_qube *qube, const char *name, struct qg_err *err);
void qg_qube_fini(struct qg_qube *qube);
QG_DEFINE_AUTO_FINI(qube, struct qg_qube, qg_qube_fini)

int qg_qube_copy(const struct qg_qube *from, struct qg_qube *to, struct qg_err *err);

/* The class (AppVM…), "" where not known; borrowed. */
const char *qg_qube_class(const struct qg_qube *qube);

/* True where that property is on. */
bool qg_qube_is_on(const struct qg_qube *qube, const char *property);

/* The feature's text, NULL where it is missing or not known; borrowed. */
const char *qg_qube_feature(const struct qg_qube *qube, const char *name);

/* The assignments of a class, NULL where not known; borrowed. */
json_t *qg_qube_assignments(const struct qg_qube *qube, const char *devclass);

bool qg_qube_has_tag(const struct qg_qube *qube, const char *tag);

/* What to find out about a qube. Names are borrowed. */
struct qg_want {
    bool properties, power, all_features, tags, firewall, notes;
    const json_t *volumes;  /* list of volumes whose info is asked; NULL: none */
    const json_t *features; /* list of names; NULL: none */
    const json_t *classes;  /* list of device classes whose assignments are asked; NULL: none */
    /* Called whenever more has become known, while the rest is on its way; may be NULL. */
    void (*more)(void *owner);
    void *owner;
};

/* True where everything wanted has been answered; of its lists, only that many of the names. */
bool qg_qube_knows(const struct qg_qube *qube, const struct qg_want *want, size_t features,
                   size_t classes, size_t volumes);

/* Asks for what is wanted and not known yet, all at once (the features found by a list in a second
 * round). A qube that qubesd does not know is no failure: exists is false. Calls on behalf
 * of others may be added to *extra (NULL: none) before; they travel with the first round. */
int qg_qube_observe(struct qg_qube *qube, const struct qg_want *want,
                    const struct qg_client *client, struct qg_batch *extra, struct qg_err *err);

#endif
