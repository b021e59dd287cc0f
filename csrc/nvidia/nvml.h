/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What NVIDIA's management library says about the cards, asked in a process of its own: a card
 * that hangs hangs whoever asks. */
#ifndef QG_NVIDIA_NVML_H
#define QG_NVIDIA_NVML_H

#include "base/clock.h"
#include "base/err.h"

#include <stdint.h>

enum { QG_NVML_CARDS_MAX = 16 };

enum qg_nvml_state {
    QG_NVML_WORKS,
    QG_NVML_NO_LIBRARY, /* text: the loader's words */
    QG_NVML_FAILED,     /* code and text: the library's */
    QG_NVML_HANGS,      /* no answer in time */
};

/* Goes through a pipe as it is. */
struct qg_nvml {
    enum qg_nvml_state state;
    int code; /* nvmlReturn_t */
    char text[160];
    char driver[80];
    unsigned count;
    struct {
        char name[96];
        uint64_t memory; /* bytes */
    } cards[QG_NVML_CARDS_MAX];
};

/* nvmlReturn_t values that have words of their own. */
enum {
    QG_NVML_ERROR_DRIVER_NOT_LOADED = 9,
    QG_NVML_ERROR_OPERATING_SYSTEM = 17,
    QG_NVML_ERROR_MISMATCH = 18,
    QG_NVML_ERROR_UNKNOWN = 999,
};

/* Asks; fails only where the process cannot be made. */
int qg_nvml_ask(const struct qg_deadline *deadline, struct qg_nvml *out, struct qg_err *err);

#endif
