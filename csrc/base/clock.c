/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"

#include <limits.h>
#include <time.h>

int64_t qg_clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct qg_deadline qg_deadline_in(int64_t ms) {
    return (struct qg_deadline){.at_ms = qg_clock_ms() + ms};
}

int qg_deadline_left(const struct qg_deadline *deadline) {
    int64_t left = deadline->at_ms - qg_clock_ms();
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

bool qg_deadline_interrupted(const struct qg_deadline *deadline) {
    return deadline->interrupted && deadline->interrupted(deadline->data);
}
