/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Monotonic deadlines and the way to stop early. */
#ifndef QG_BASE_CLOCK_H
#define QG_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t qg_clock_ms(void);

/* One per call that may wait. */
struct qg_deadline {
    int64_t at_ms; /* CLOCK_MONOTONIC, in ms */
    bool (*interrupted)(
        void *data); /* asked when a wait is broken by a signal; true: give up. May be NULL */
    void *data;
};

/* A deadline in so many ms from now; no way to be interrupted. */
struct qg_deadline qg_deadline_in(int64_t ms);

/* Milliseconds left, 0 once it has passed, never over INT_MAX: fit for poll(2). */
int qg_deadline_left(const struct qg_deadline *deadline);

/* True where a signal came and its handler wants us to stop. */
bool qg_deadline_interrupted(const struct qg_deadline *deadline);

#endif
